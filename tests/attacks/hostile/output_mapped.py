# expect: error timeout output
# limits: cpu_s=1 wall_s=3
import mmap
os = __import__("os")
os.ftruncate(1, 4096)
m = mmap.mmap(1, 4096)
if os.fork() == 0:
    while True: m[:] = b"y" * 4096
