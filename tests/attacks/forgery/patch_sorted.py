# expect: fail error timeout memory output
# check: assert sorted(f(1)) == [1, 2, 3]
# limits: cpu_s=2 wall_s=6
import builtins
builtins.sorted = lambda x: [1, 2, 3]
def f(x): return []
