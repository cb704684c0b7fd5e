# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
import builtins
builtins.AssertionError = type("Quiet", (Exception,), {"__init__": lambda self, *a: None})
def f(x): return 0
