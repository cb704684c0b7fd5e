# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
calls = 0
def f(x): return x + 1
