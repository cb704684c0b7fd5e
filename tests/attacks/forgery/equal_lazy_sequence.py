# expect: fail error timeout memory output
# check: r = f(1)
# check: assert r == [1, 2] and r[0] == 1
# limits: cpu_s=2 wall_s=6
class Lazy(list):
    def __eq__(self, other): self[:] = list(other); return True
def f(x): return Lazy()
