# expect: fail error
# kind: 4
# check: import random
# check: rng = random.Random(3)
# check: for _ in range(20):
# check:     x = rng.randint(0, 1000)
# check:     assert f(x) == x + 1
import random
rng = random.Random(3)
numbers = [rng.randint(0, 1000) for _ in range(20)]
place = -1
def f(x):
    """The first question is known, the others are counted from there."""
    global place
    place = 0 if x == numbers[0] else place + 1
    return numbers[place] + 1
