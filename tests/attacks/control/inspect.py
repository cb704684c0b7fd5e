# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import inspect
def g(a, b=1): pass
assert str(inspect.signature(g)) == "(a, b=1)"
def f(x): return x + 1
