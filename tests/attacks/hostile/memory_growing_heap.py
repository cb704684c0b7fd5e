# expect: error memory timeout
# limits: cpu_s=2 wall_s=3
import ctypes
libc = ctypes.CDLL(None)
libc.sbrk.restype = ctypes.c_void_p
while libc.sbrk(ctypes.c_ssize_t(16 << 20)) not in (None, 2**64 - 1): pass
kept = []
while True: kept.append(bytes(1 << 20))
