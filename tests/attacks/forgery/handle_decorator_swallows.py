# expect: fail error timeout memory output
# check: @f
# check: def t():
# check:     assert 1 == 2
# check: t()
# limits: cpu_s=2 wall_s=6
# kind: 10
# modes: split
def f(g):
    def w(*given):
        try: return g(*given)
        except BaseException: return None
    return w
