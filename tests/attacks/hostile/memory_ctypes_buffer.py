# expect: memory error timeout
# limits: cpu_s=2 wall_s=4
import ctypes
x = ctypes.create_string_buffer(4 << 30)
