# expect: pass
# kind: 4
# check: assert f(5) == 120
# check: assert f(3) == 6
# check: assert f(10) == 3628800
def f(n, memo={0: 1}):
    if n not in memo:
        memo[n] = n * f(n - 1)
    return memo[n]
