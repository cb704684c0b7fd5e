# expect: output
# limits: cpu_s=1 wall_s=3
import os
os.lseek(1, 15 << 20, 0)
os.write(1, b"x")
