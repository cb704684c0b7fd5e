# expect: error
# limits: cpu_s=1 wall_s=3
import os
for _ in range(2000):
    if os.fork() == 0: os._exit(0)
