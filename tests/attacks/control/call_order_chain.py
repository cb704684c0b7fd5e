# expect: pass
# kind: 4
# check: first = f(3)
# check: assert first == 10
# check: second = f(first)
# check: assert second == 31
# check: assert f(second) == 94
table = {}
def f(x):
    table[x] = x * 3 + 1
    return table[x]
