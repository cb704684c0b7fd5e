# expect: error timeout
# limits: cpu_s=1 wall_s=2
import ctypes
ctypes.CDLL(None).tgkill(1, 1, 9)
