# expect: error
# denied: yes
# kind: 3
import ctypes, os, platform
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 28, "aarch64": 233}[platform.machine()]
file = os.open(os.__file__, os.O_RDONLY)
result = libc.syscall(number, ctypes.c_void_p(id(libc) & ~4095), 4096, 3)
error = ctypes.get_errno()
print("DENIED" if result < 0 and error in (1, 25, 38, 97) else f"ALLOWED {result} {error}")
