# expect: fail error timeout memory output
# check: import random
# check: for _ in range(20):
# check:     n = random.randint(1, 10**6)
# check:     assert f(n) == n + 1
# limits: cpu_s=2 wall_s=6
import random
random.randint = lambda a, b: 1
random.Random.randint = lambda *a: 1
def f(x): return 2
