# expect: error memory fail
# limits: cpu_s=1 wall_s=3
def f(x): return "x" * (50 << 20)
