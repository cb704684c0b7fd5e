# expect: error
# limits: cpu_s=2 wall_s=6
class E(Exception):
    __traceback__ = property(lambda self: 1 / 0)
raise E()
