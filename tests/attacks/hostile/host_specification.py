# expect: error
# denied: yes
# kind: 8
# What the cell was told at its start, sought on the heap and among the objects that are alive.
import ctypes, gc, os
libc = ctypes.CDLL(None, use_errno=True)
libc.sbrk.restype = libc.write.restype = ctypes.c_long
reading, writing = os.pipe()
text, address = [], libc.sbrk(0) & ~4095
for _ in range(6000):
    address -= 4096
    size = libc.write(writing, ctypes.c_void_p(address), 4096)
    if size <= 0: break
    text.append(os.read(reading, size))
text = b"".join(reversed(text))
words = [bytes(reversed(word)) for word in (b'"puorgc"', b'"esab_di"', b'"sdnib"', b'/ezylana/', b'"redlof_hctarcs"')]
leaks = [word for word in words if word in text]
leaks += [key for thing in gc.get_objects() if isinstance(thing, dict) for key in thing if key in ("esab_di"[::-1], "sdnib"[::-1])]
print("ALLOWED" if leaks else "DENIED", leaks)
