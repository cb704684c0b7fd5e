# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import bisect, heapq
assert heapq.nsmallest(2, [3, 1, 2]) == [1, 2] and bisect.bisect([1, 2], 1) == 1
def f(x): return x + 1
