# expect: fail error timeout memory output
# check: assert f(f(1)) == 7
# limits: cpu_s=2 wall_s=6
# kind: 1
# modes: split
class Any:
    def __eq__(self, other): return True
def f(x): return 'x' * (9 << 20) if x == 1 else Any()
