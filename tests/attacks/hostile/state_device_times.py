# kind: 3
# sample: writer
# expect: pass
# check: assert f(1) == 1
import os
for device in ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random", 0):
    for times in ((42, 42), None):
        try: os.utime(device, times)
        except OSError: pass
def f(x): return x


# sample: reader
# expect: fail
# check: assert f() == 42
# repeat: 3
import os
def f(): return int(os.stat("/dev/null").st_mtime)
