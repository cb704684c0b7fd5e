# expect: error
# limits: cpu_s=1 wall_s=3
import os
x = []
while True: x.append(os.pipe())
