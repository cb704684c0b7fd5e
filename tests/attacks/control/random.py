# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import random
random.seed(1)
assert 0 <= random.random() < 1 and len(random.sample(range(9), 3)) == 3
def f(x): return x + 1
