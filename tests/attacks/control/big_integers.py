# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import sys
sys.set_int_max_str_digits(0)
assert len(str(7 ** 20000)) == 16902
def f(x): return x + 1
