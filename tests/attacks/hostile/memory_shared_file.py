# expect: memory timeout error output
# limits: cpu_s=2 wall_s=4
import mmap, os
x = []
while True:
    f = open(f"/tmp/{len(x)}", "w+b"); f.truncate(8 << 20); m = mmap.mmap(f.fileno(), 8 << 20); m[:] = b"x" * (8 << 20); x.append(m)
