# expect: error
# limits: cpu_s=1 wall_s=3
import os
os.fchmod(1, 0)
os.utime(1, (0, 0))
