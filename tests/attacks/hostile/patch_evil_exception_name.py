# expect: error
# limits: cpu_s=2 wall_s=6
class M(type):
    @property
    def __name__(cls): raise SystemExit(0)
class E(BaseException, metaclass=M): pass
raise E()
