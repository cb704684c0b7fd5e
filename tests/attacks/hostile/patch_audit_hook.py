# expect: error
# limits: cpu_s=2 wall_s=6
import os, sys
sys.addaudithook(lambda *a: os._exit(0))
