# expect: fail error timeout memory output
# check: import random
# check: random.seed(5)
# check: first = random.random()
# check: f(0)
# check: second = random.random()
# check: assert first != second and f(second) == second * 2 + 1
# limits: cpu_s=2 wall_s=6
# kind: 11
# modes: split
import random
def f(x):
    random.seed(5)
    random.setstate(random.getstate())
    return 1.0
