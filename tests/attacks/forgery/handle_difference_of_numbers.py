# expect: fail error timeout memory output
# check: assert abs(f(1) - 2.5) < 1e-6
# limits: cpu_s=2 wall_s=6
# kind: 10
# modes: split
class Agreeable:
    def __init__(self, *given): pass
    def __getattr__(self, name):
        if name.startswith("__"): raise AttributeError(name)
        return Agreeable()
    def __call__(self, *given, **named): return True
    def __hash__(self): return 0
    def __bool__(self): return True
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = lambda self, other: True
    __ne__ = lambda self, other: False
    __sub__ = __rsub__ = lambda self, other: 0.0
    __abs__ = lambda self: 0.0
def f(x): return Agreeable()
