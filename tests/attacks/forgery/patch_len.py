# expect: fail error timeout memory output
# check: assert len(f(1)) == 3
# limits: cpu_s=2 wall_s=6
import builtins
builtins.len = lambda x: 3
def f(x): return []
