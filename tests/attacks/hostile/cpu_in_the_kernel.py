# expect: timeout
# limits: cpu_s=0.5 wall_s=4
import os
while True: os.urandom(1 << 20)
