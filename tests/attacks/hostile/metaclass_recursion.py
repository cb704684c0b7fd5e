# expect: error timeout memory
# limits: cpu_s=2 wall_s=8
class M(type):
    def __getattr__(cls, name): return getattr(cls, name + "x")
class A(metaclass=M): pass
A.y
