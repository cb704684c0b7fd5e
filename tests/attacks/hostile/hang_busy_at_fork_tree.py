# expect: timeout
# limits: cpu_s=0.3 wall_s=1
import os
for _ in range(4): os.fork()
while True: pass
