# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
import ctypes, os, struct, sys
base = id(sys.modules) & ~0xfff
def f(x):
    for start in range(base - (1 << 20), base + (1 << 20), 16):
        try: data = ctypes.string_at(start, 49)
        except Exception: break
        if data[16:24] == struct.pack("<q", 16):
            for fd in (3, 4, 5):
                try: os.write(fd, struct.pack("!16sBII", data[32:48], 1, 1, 0))
                except OSError: pass
    os._exit(0)
