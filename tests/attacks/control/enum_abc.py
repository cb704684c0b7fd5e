# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import abc, enum
class C(enum.Flag):
    A = 1
    B = 2
assert C.A | C.B
def f(x): return x + 1
