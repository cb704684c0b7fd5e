# expect: error timeout memory
# limits: cpu_s=2 wall_s=3
# As many areas of memory as the kernel lets a process have, one page each with alternating rights.
import mmap
maps = []
while True:
    maps.append(mmap.mmap(-1, 4096, prot=mmap.PROT_READ | (mmap.PROT_WRITE if len(maps) % 2 else 0)))
