# expect: fail error timeout memory output
# check: try: f(1)
# check: except ValueError as e: assert e.args == ("right",)
# check: else: assert False
# limits: cpu_s=2 wall_s=6
class E(ValueError):
    def __eq__(self, other): return True
    args = property(lambda self: ("right",))
def f(x): raise E("wrong")
