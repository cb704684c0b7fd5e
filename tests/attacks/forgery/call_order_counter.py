# expect: fail error
# kind: 4
# check: assert f(1) == 2
# check: assert f(2) == 3
# check: assert f(5) == 6
# check: assert f(10) == 11
# check: assert f(-4) == -3
answers = iter([2, 3, 6, 11, -3])
def f(x): return next(answers)
