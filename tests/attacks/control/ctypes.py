# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import ctypes
assert ctypes.sizeof(ctypes.c_int) == 4
def f(x): return x + 1
