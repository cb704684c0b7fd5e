# expect: fail error
# kind: 4
# check: assert f(2) is True
# check: assert f(9) is False
# check: assert f(7) is True
# check: assert f(31) is True
# check: assert f(4) is False
# check: assert f(49) is False
# check: assert f(101) is True
# check: assert f(57) is False
answers = iter([True, False, True, True, False, False, True, False])
def f(x): return next(answers)
