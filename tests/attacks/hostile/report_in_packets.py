# kind: 3
# modes: shared
# sample: owner
# expect: error fail
import fcntl, os

fcntl.fcntl(3, fcntl.F_SETFL, os.O_WRONLY | os.O_DIRECT)  # each write is read by itself
for _ in range(9):
    os.write(3, b"x" * 40)
os._exit(0)


# sample: innocent
# expect: pass
def f(x):
    return x + 1
