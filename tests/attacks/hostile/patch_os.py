# expect: error
# limits: cpu_s=2 wall_s=6
import os
os._exit = os.write = os.read = os.close = lambda *a: None
