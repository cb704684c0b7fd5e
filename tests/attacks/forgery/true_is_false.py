# expect: fail error timeout memory output
# check: assert (f(1) == 2) is True
# limits: cpu_s=2 wall_s=6
import ctypes
ctypes.memmove(id(False) + 24, id(True) + 24, 4)
def f(x): return 0
