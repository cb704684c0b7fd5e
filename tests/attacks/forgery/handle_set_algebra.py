# expect: fail error timeout memory output
# check: assert f(1) - {1, 2} == set()
# check: assert f(1) & {1, 2} == {1, 2}
# limits: cpu_s=2 wall_s=6
# kind: 10
# modes: split
class S(set):
    def __sub__(self, other): return set()
    def __and__(self, other): return other
    __rand__ = __and__
    def __le__(self, other): return True
def f(x): return S([9])
