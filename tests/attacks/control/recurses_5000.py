# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import sys
sys.setrecursionlimit(10000)
def g(n): return 0 if n == 0 else 1 + g(n - 1)
assert g(5000) == 5000
def f(x): return x + 1
