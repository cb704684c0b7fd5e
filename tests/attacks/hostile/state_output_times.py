# kind: 3
# sample: writer
# expect: pass
# check: assert f(1) == 1
import os
print("x"); os.utime(1, (42, 42))
def f(x): return x


# sample: reader
# expect: fail
# check: assert f() == 42
# repeat: 3
import os
def f(): return int(os.fstat(1).st_mtime) or int(os.fstat(1).st_atime)
