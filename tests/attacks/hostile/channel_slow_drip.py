# expect: timeout error fail
# limits: cpu_s=1 wall_s=3
import os, time
try:
    while True: os.write(4, b"\0"); time.sleep(0.05)
except OSError: pass
