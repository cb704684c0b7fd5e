# expect: fail error
# check: assert f(1) == 2
def f(x): return [True, False, None]
