# expect: pass
# kind: 4
# check: assert f(1) == True
# check: assert f(1) == False
# check: assert f(2) == True
seen = set()
def f(x):
    new = x not in seen
    seen.add(x)
    return new
