# expect: error timeout
# limits: cpu_s=1 wall_s=3
import os, time
for _ in range(20):
    if os.fork() == 0:
        os.setsid(); os.chdir("/"); os.closerange(0, 64)
        while True: time.sleep(10**5)
raise SystemExit(0)
