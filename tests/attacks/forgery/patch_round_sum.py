# expect: fail error timeout memory output
# check: assert sum(f(1)) == 6
# limits: cpu_s=2 wall_s=6
import builtins
builtins.round = builtins.sum = lambda *a: 6
def f(x): return []
