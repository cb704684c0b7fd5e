# expect: error
# limits: cpu_s=2 wall_s=6
class E(Exception):
    def __str__(self): return "x" * 10**8
raise E()
