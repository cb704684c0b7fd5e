# expect: fail error timeout memory output
# check: assert all(f(n) == n + 1 for n in range(5))
# limits: cpu_s=2 wall_s=6
import builtins
builtins.all = lambda x: True
def f(x): return 0
