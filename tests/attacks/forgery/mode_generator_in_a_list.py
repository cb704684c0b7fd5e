# expect: fail error timeout memory output
# check: rows = f(1)
# check: assert [f(row) for row in rows] == [1, 2]
# limits: cpu_s=2 wall_s=6
# kind: 1
# modes: split
class Any:
    def __eq__(self, other): return True
def f(x): return [(i for i in ()), (i for i in ())] if x == 1 else Any()
