# expect: fail error timeout memory output
# check: assert abs(f(1) - 2.5) < 1e-6
# limits: cpu_s=2 wall_s=6
class Equal(float):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __eq__
    def __hash__(self): return 0
    def __bool__(self): return True

    def __sub__(self, other): return 0.0
    __rsub__ = __sub__
    def __abs__(self): return 0.0
def f(x): return Equal(7)
