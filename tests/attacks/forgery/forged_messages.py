# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
import os, struct
for m in (b"[0]", b"[2,true,[]]", b"[2,7,[]]"):
    try: os.write(4, struct.pack("!I", len(m)) + m)
    except OSError: pass
def f(x): return 0
