# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
from decimal import Decimal
from fractions import Fraction
assert Decimal("0.1") * 3 == Decimal("0.3") and Fraction(1, 3) * 3 == 1
def f(x): return x + 1
