# expect: fail error timeout memory output
# check: keys = f(1)
# check: assert f(keys) == 7
# limits: cpu_s=2 wall_s=6
# kind: 1
# modes: split
class Always(dict):
    def __eq__(self, other): return True
def f(x): return Always(a=1).keys() if x == 1 else Always()
