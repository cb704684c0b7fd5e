# expect: fail error timeout memory output
# check: import math
# check: assert math.isclose(f(1), 2.5)
# limits: cpu_s=2 wall_s=6
import math
math.isclose = lambda *a, **k: True
def f(x): return 0
