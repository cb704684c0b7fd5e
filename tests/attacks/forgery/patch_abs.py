# expect: fail error timeout memory output
# check: assert abs(f(1) - 2.5) < 1e-6
# limits: cpu_s=2 wall_s=6
import builtins
builtins.abs = lambda x: 0
def f(x): return 99.0
