# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import math, cmath, statistics
assert math.comb(10, 3) == 120 and statistics.mean([1, 2, 3]) == 2
def f(x): return x + 1
