# kind: 3
# sample: writer
# expect: pass
# check: assert f(1) == 1
import os
open("/tmp/x", "w").close(); os.unlink("/tmp/x")
try: os.utime("/tmp", (42, 42))
except OSError: pass
def f(x): return x


# sample: reader
# expect: fail
# check: assert f() == 42
# repeat: 3
import os
def f(): return int(os.stat("/tmp").st_mtime)
