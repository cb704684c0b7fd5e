# expect: fail error timeout memory output
# check: def check(candidate):
# check:     assert candidate(1) == 2
# check: check(f)
# limits: cpu_s=2 wall_s=6
import sys
sys.modules["__main__"].__dict__["check"] = lambda *a: None
def f(x): return 0
