# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
import os, sys, struct
class D:
    def __del__(self):
        frame = sys._getframe()
        while frame:
            for value in frame.f_locals.values():
                if type(value) is bytes and len(value) == 16:
                    for fd in (3, 4, 5):
                        try: os.write(fd, struct.pack("!16sBII", value, 1, 1, 0))
                        except OSError: pass
            frame = frame.f_back
        os._exit(0)
def f(x): return D()
