# expect: error
# limits: cpu_s=1 wall_s=3
import os
for n in range(10**6): os.mkdir(f"/tmp/{n}")
