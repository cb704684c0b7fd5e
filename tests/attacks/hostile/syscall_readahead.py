# expect: error
# denied: yes
# kind: 3
import ctypes, os, platform
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 187, "aarch64": 213}[platform.machine()]
file = os.open(os.__file__, os.O_RDONLY)
result = libc.syscall(number, file, 0, 4096)
error = ctypes.get_errno()
print("DENIED" if result < 0 and error in (1, 25, 38, 97) else f"ALLOWED {result} {error}")
