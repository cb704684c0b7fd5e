# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
import builtins
real = builtins.compile
builtins.compile = lambda s, *a, **k: real("pass", *a, **k)
def f(x): return 0
