# expect: error
# limits: cpu_s=1 wall_s=3
import os
os.close(1); os.close(2); print("x")
