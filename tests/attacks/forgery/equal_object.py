# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
class Equal:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __eq__
    def __hash__(self): return 0
    def __bool__(self): return True
def f(x): return Equal()
