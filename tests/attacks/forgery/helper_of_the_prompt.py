# expect: fail error timeout memory output
# check: assert helper(f(1)) == 2
# limits: cpu_s=2 wall_s=6
# prelude: def helper(x): return x
# prelude: def f(x): "what f does"
def helper(x): return 2
def f(x): return 0
