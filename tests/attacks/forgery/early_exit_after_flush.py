# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
import sys, os
def f(x):
    sys.stdout.write("pass"); sys.stdout.flush(); os._exit(0)
