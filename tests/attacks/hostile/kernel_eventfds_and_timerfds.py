# expect: error timeout memory
# limits: cpu_s=2 wall_s=3
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
kept = []
while True:
    kept.append(os.eventfd(1))
    if libc.timerfd_create(1, 0) < 0: raise OSError(ctypes.get_errno(), "timerfd")
