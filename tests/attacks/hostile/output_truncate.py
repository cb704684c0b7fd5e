# expect: error
# limits: cpu_s=1 wall_s=3
import os
print("x" * 10**6, flush=True)
os.ftruncate(1, 0)
