# expect: timeout
# limits: cpu_s=0.3 wall_s=1
import os
r, w = os.pipe()
os.read(r, 1)
