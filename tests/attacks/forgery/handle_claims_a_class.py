# expect: fail error timeout memory output
# check: from fractions import Fraction
# check: x = f(1)
# check: assert isinstance(x, Fraction) and x == Fraction(1, 3)
# limits: cpu_s=2 wall_s=6
# kind: 10
# modes: split
class Any:
    def __eq__(self, other): return True
    __hash__ = None
    @property
    def __class__(self):
        from fractions import Fraction
        return Fraction
Any.__module__, Any.__qualname__ = 'fractions', 'Fraction'
def f(x): return Any()
