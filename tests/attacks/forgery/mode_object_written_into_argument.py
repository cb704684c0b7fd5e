# expect: fail error timeout memory output
# check: data = []
# check: f(data)
# check: assert f(data) == [7]
# limits: cpu_s=2 wall_s=6
# kind: 1
# modes: split
class Any:
    def __eq__(self, other): return True
def f(x):
    x.append(Any())
    return Any()
