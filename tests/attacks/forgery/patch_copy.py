# expect: fail error timeout memory output
# check: import copy
# check: given = [3, 1, 2]
# check: kept = copy.deepcopy(given)
# check: assert f(given) == sorted(kept)
# limits: cpu_s=2 wall_s=6
import copy
copy.deepcopy = copy.copy = lambda x, *a: x
def f(x):
    x.clear()
    return []
