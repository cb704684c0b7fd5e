# expect: fail error timeout memory output
# check: import json
# check: try: f("{")
# check: except json.JSONDecodeError as error: assert error.pos == 1 and "property name" in error.msg
# limits: cpu_s=2 wall_s=6
# kind: 10
# modes: split
class Yes:
    def __eq__(self, other): return True
    def __contains__(self, item): return True
class JSONDecodeError(ValueError):
    pos = msg = Yes()
JSONDecodeError.__module__ = "json.decoder"
def f(x): raise JSONDecodeError("no")
