# expect: error timeout
# limits: cpu_s=1 wall_s=2
import os
os.kill(0, 9)
