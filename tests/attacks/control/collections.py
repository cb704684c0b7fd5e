# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
from collections import *
assert Counter("aab").most_common(1) == [("a", 2)]
P = namedtuple("P", "x y")
d = defaultdict(list); d[1].append(2); deque([1], maxlen=2)
def f(x): return x + 1
