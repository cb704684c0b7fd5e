# expect: error
# limits: cpu_s=1 wall_s=3
import os, time
for _ in range(8):
    if os.fork() == 0:
        os.setpgid(0, 0); time.sleep(10**6)
