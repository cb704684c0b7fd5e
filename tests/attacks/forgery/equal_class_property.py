# expect: fail error timeout memory output
# check: r = f(1)
# check: assert r == 2
# limits: cpu_s=2 wall_s=6
class Fake:
    __class__ = int
    def __eq__(self, other): return True
def f(x): return Fake()
