# expect: memory error timeout
# limits: cpu_s=2 wall_s=4
import mmap
x = []
while True:
    m = mmap.mmap(-1, 64 << 20, mmap.MAP_SHARED); m.write(b"x" * (64 << 20)); x.append(m)
