# expect: error timeout memory
# limits: cpu_s=2 wall_s=3
# One touched page in every two megabytes: what is used up are page tables.
import mmap
areas = []
while True:
    area = mmap.mmap(-1, 1 << 28, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
    areas.append(area)
    for place in range(0, 1 << 28, 2 << 20): area[place] = 1
