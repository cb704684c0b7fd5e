# expect: fail error timeout memory output
# check: assert isinstance(f(1), int)
# limits: cpu_s=2 wall_s=6
import builtins
builtins.isinstance = lambda *a: True
def f(x): return None
