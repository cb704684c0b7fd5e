# expect: fail error
# limits: cpu_s=1 wall_s=3
import os
def f(x):
    os.fork()
    return 1
