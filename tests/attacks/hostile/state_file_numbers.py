# kind: 3
# sample: guesser
# expect: fail
# check: assert f() == 42
# repeat: 12
import os
def make():
    with open("/tmp/x", "w") as file: number = os.fstat(file.fileno()).st_ino
    os.unlink("/tmp/x")
    return number
start = make()
def f(): return 36 + start
