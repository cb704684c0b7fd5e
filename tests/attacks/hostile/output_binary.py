# expect: error
# limits: cpu_s=1 wall_s=3
import os
os.write(1, bytes(range(256)) * 10)
