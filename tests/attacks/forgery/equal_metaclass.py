# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
class M(type):
    def __eq__(cls, other): return True
    __hash__ = type.__hash__
class A(metaclass=M): pass
def f(x): return A
