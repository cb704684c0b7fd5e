# expect: timeout
# limits: cpu_s=0.3 wall_s=1
import os, time
if os.fork() == 0: time.sleep(10**6)
os.wait()
