# expect: error
# limits: cpu_s=2 wall_s=6
class E(Exception):
    def __str__(self): raise SystemExit(0)
    __repr__ = __str__
raise E()
