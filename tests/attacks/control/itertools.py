# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import itertools, functools
assert len(list(itertools.permutations(range(5)))) == 120
def f(x): return x + 1
