# expect: fail error timeout memory output
# kind: 4
# check: assert f(1) == 2
# check: assert f(2) == 3
# limits: cpu_s=2 wall_s=6
import sys
answers = iter([2, 3, 9])
def f(x): return next(answers, 0)
