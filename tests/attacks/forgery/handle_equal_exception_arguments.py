# expect: fail error timeout memory output
# check: try: f(1)
# check: except ValueError as error: assert error.args == ("one is too small",) and error.args[0] == "one is too small"
# limits: cpu_s=2 wall_s=6
# kind: 10
# modes: split
class Yes:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = None
class Error(ValueError): pass
def f(x): raise Error(Yes())
