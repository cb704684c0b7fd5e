# expect: error timeout memory
# limits: cpu_s=2 wall_s=3
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
timer = ctypes.c_void_p()
made = 0
while libc.timer_create(1, None, ctypes.byref(timer)) == 0: made += 1
raise SystemExit(made)
