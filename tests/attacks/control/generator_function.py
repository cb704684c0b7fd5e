# expect: pass
# check: assert list(f(4)) == [0, 1, 4, 9]
def f(n):
    for i in range(n): yield i * i
