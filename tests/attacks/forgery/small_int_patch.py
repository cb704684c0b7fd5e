# expect: fail error timeout memory output
# check: assert f(1) == 77
# limits: cpu_s=2 wall_s=6
import ctypes
def f(x):
    ctypes.memmove(id(77) + 24, id(5) + 24, 4)
    return 5
