# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
import os
def f(x): os._exit(0)
