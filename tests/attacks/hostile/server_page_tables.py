# kind: 7
# expect: error memory timeout
# limits: cpu_s=2 wall_s=4
import mmap, os, time
for _ in range(31):
    if os.fork() == 0:
        break
size, kept = 960 << 20, []
try:
    area = mmap.mmap(-1, size, flags=mmap.MAP_SHARED)
    for _ in range(1000):
        for place in range(0, size, 1 << 21):  # a page table for each
            area[place]
        kept.append(mmap.mmap(-1, 1 << 12))
except (OSError, ValueError):
    pass
time.sleep(60)
