# expect: fail error timeout memory output
# check: assert f(f(1)) == 7
# limits: cpu_s=2 wall_s=6
# kind: 1
# modes: split
class Any:
    def __eq__(self, other): return True
def f(x):
    if x != 1: return Any()
    deep = []
    for _ in range(900): deep = [deep]
    return deep
