# expect: error
# limits: cpu_s=1 wall_s=3
import os, time
for _ in range(10):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: time.sleep(10**6)
        os._exit(0)
