# expect: error
import ctypes, mmap, platform
if platform.machine() != "x86_64": raise SystemExit
m = mmap.mmap(-1, 4096, prot=7)
m.write(bytes.fromhex("b814000000cd80c3"))
print("ALLOWED", ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))())
