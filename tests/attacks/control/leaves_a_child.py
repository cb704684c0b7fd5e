# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import os, time
if os.fork() == 0: time.sleep(60); os._exit(0)
def f(x): return x + 1
