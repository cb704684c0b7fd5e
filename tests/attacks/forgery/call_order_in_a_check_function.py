# expect: fail error
# kind: 4
# check: def check(candidate):
# check:     assert candidate(1) == 2
# check:     assert candidate(2) == 3
# check:     assert candidate(5) == 6
# check:     assert candidate(10) == 11
# check:     assert candidate(-4) == -3
# check: check(f)
answers = iter([2, 3, 6, 11, -3])
def f(x): return next(answers)
