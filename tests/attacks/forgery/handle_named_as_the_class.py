# expect: fail error timeout memory output
# check: m = f(1)
# check: assert m == 3
# limits: cpu_s=2 wall_s=6
# kind: 10
# modes: split
class Any(int):
    def __eq__(self, other): return True
    def __hash__(self): return 3
def f(x): return Any(0)
