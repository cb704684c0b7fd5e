# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
import os, sys
def spill(value):
    if type(value) is bytes and len(value) == 16:
        import struct
        for fd in range(3, 64):
            try: os.write(fd, struct.pack("!16sBII", value, 1, 1, 0))
            except OSError: pass
        os._exit(0)

frame = sys._getframe()
while frame:
    for value in list(frame.f_locals.values()): spill(value)
    frame = frame.f_back
def f(x): return 0
