# expect: pass
# kind: 4
# check: assert f(30) == 832040
# check: assert f(5) == 5
# check: assert f(50) == 12586269025
import functools
@functools.lru_cache(maxsize=None)
def f(n): return n if n < 2 else f(n - 1) + f(n - 2)
