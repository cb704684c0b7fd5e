# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
class D:
    def __get__(self, *a): return 2
class A:
    x = D()
def f(x): return A.__dict__["x"]
