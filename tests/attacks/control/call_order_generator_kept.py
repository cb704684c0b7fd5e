# expect: pass
# kind: 4
# check: assert f(3) == 9
# check: assert f(0) == 0
# check: assert f(10) == 100
def squares():
    n = 0
    while True:
        yield n * n
        n += 1
known, source = [], squares()
def f(n):
    while len(known) <= n:
        known.append(next(source))
    return known[n]
