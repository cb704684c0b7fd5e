# expect: error memory timeout
# limits: cpu_s=2 wall_s=3
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.mlockall(3) == 0: data = bytearray(2 << 30)
raise OSError(ctypes.get_errno(), "mlockall")
