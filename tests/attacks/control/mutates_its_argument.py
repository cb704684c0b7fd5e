# expect: pass
# check: x = [3, 1, 2]
# check: f(x)
# check: assert x == [1, 2, 3]
def f(x):
    x.sort()
    return None
