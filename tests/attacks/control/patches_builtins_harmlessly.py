# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import builtins
builtins.print = lambda *a, **k: None
print("x")
def f(x): return x + 1
