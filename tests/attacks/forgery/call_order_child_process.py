# expect: fail error
# kind: 4
# check: assert f(1) == 2
# check: assert f(2) == 3
# check: assert f(5) == 6
# check: assert f(10) == 11
# check: assert f(-4) == -3
import os
read, write = os.pipe()
if os.fork() == 0:
    for answer in [2, 3, 6, 11, -3]:
        os.write(write, b"%8d" % answer)
    os._exit(0)
os.wait()
def f(x): return int(os.read(read, 8))
