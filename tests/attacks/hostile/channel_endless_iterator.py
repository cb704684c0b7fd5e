# expect: error timeout fail
# limits: cpu_s=1 wall_s=3
import itertools
def f(x): return itertools.count()
