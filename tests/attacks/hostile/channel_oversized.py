# expect: error fail
# limits: cpu_s=1 wall_s=3
import os
os.write(4, b"\x7f\xff\xff\xff" + b"x" * 1000)
def f(x): return 1
