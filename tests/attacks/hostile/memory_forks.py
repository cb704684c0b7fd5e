# expect: memory timeout error
# limits: cpu_s=2 wall_s=3
import os, time
for _ in range(30):
    if os.fork() == 0:
        x = bytearray(700 << 20)
        for i in range(0, len(x), 4096): x[i] = 1
        time.sleep(30)
time.sleep(30)
