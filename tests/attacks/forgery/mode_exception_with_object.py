# expect: fail error timeout memory output
# check: try: f(1)
# check: except ValueError as e: assert f(e.args[0]) == 7
# limits: cpu_s=2 wall_s=6
# kind: 1
# modes: split
class Any:
    def __eq__(self, other): return True
def f(x):
    if x == 1: raise ValueError(Any())
    return Any()
