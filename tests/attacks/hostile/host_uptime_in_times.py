# expect: error
# denied: yes
# kind: 8
import ctypes, platform
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = libc.times.restype = ctypes.c_long
ticks = libc.syscall({"x86_64": 100, "aarch64": 153}[platform.machine()], ctypes.create_string_buffer(64))
print("ALLOWED" if ticks > 0 or libc.times(ctypes.create_string_buffer(64)) > 0 else "DENIED")
