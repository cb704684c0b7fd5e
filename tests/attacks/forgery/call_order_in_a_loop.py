# expect: fail error
# kind: 4
# check: import random
# check: rng = random.Random(3)
# check: for _ in range(20):
# check:     x = rng.randint(0, 1000)
# check:     assert f(x) == x + 1
import random
rng = random.Random(3)
answers = iter([rng.randint(0, 1000) + 1 for _ in range(20)])
def f(x): return next(answers)
