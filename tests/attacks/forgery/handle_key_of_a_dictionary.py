# expect: fail error timeout memory output
# check: assert {3: 'right'}.get(f(1)) == 'right'
# limits: cpu_s=2 wall_s=6
# kind: 10
# modes: split
class Any:
    def __eq__(self, other): return True
    def __hash__(self): return 3
def f(x): return Any()
