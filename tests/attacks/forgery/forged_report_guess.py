# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
import os, struct
for fd in range(3, 32):
    for token in (bytes(16), b"\xff" * 16):
        try: os.write(fd, struct.pack("!16sBII", token, 1, 1, 0))
        except OSError: pass
def f(x): return 0
