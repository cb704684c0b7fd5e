# expect: error
# denied: yes
# Asks for every capability, in the kernel's own form.
import ctypes, platform
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 126, "aarch64": 91}[platform.machine()]
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
wanted = (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)
result = libc.syscall(number, header, wanted)
error = ctypes.get_errno()
print("DENIED" if result < 0 and error == 1 else f"ALLOWED {result} {error}")
