# expect: error timeout fail
# limits: cpu_s=2 wall_s=5
import ctypes
size = type.__basicsize__ // 8
slots = (ctypes.c_void_p * size).from_address(id(dict))
for n in range(3, 40): slots[n] = None
{}["x"] = 1
