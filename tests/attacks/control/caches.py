# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import functools
@functools.lru_cache(None)
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
assert fib(90) == 2880067194370816120
def f(x): return x + 1
