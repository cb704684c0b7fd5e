# expect: error
# denied: yes
import ctypes, platform
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 310, "aarch64": 270}[platform.machine()]
result = libc.syscall(number, 1, 0, 0, 0, 0, 0) if number is not None else -1
error = ctypes.get_errno() if number is not None else 38
print("DENIED" if result < 0 and error in (1, 25, 38, 97) else f"ALLOWED {result} {error}")
