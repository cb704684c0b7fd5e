# expect: pass
# check: import math
# check: a, b, c = f(1)
# check: assert a == math.inf and math.copysign(1, b) == -1 and math.isnan(c)
def f(x): return [float("inf"), -0.0, float("nan")]
