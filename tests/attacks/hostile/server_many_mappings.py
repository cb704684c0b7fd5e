# kind: 7
# expect: error memory timeout
# limits: cpu_s=2 wall_s=4
import ctypes, mmap, os, time
for _ in range(31):
    if os.fork() == 0:
        break
libc = ctypes.CDLL(None)
size = 512 << 20
area = mmap.mmap(-1, size, prot=mmap.PROT_READ)
start = ctypes.addressof(ctypes.c_char.from_buffer(mmap.mmap(-1, size)))
for place in range(0, size, 8192):  # each change of protection splits a mapping in the kernel
    if libc.mprotect(ctypes.c_void_p(start + place), ctypes.c_size_t(4096), 1):
        break
time.sleep(60)
