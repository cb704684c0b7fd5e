# expect: error
# denied: yes
# kind: 8
# The words that a process was started with lie at the end of its stack, whatever sys.argv says.
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.getauxval.restype = ctypes.c_ulong
libc.write.restype = ctypes.c_long
reading, writing = os.pipe()
words, start = b"", libc.getauxval(31) & ~4095
for page in range(-8, 8):
    size = libc.write(writing, ctypes.c_void_p(start + 4096 * page), 4096)
    words += os.read(reading, size) if size > 0 else b""
leaks = [word for word in (b"/home/", b"/root/", b"/Users/", b"cgroup", b"id_base", b"binds", b"preload", b"scratch_folder") if word in words]
print("ALLOWED" if leaks or not words else "DENIED", leaks)
