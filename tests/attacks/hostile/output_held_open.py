# expect: error
# limits: cpu_s=1 wall_s=3
import os, time
if os.fork() == 0:
    os.setsid(); time.sleep(10**6)
