# expect: error
# limits: cpu_s=1 wall_s=3
import os
os.truncate(os.open("/tmp/x", os.O_CREAT | os.O_RDWR), 1 << 50)
