# expect: fail error
# kind: 4
# check: assert f(1) == 2
# check: assert f(2) == 3
answers = iter([2, 3])
def f(x): return next(answers)
