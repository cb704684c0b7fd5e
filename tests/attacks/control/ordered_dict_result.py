# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: d = dedupe([("a", 1), ("b", 2), ("a", 3)])
# check: assert list(d.items()) == [("b", 2), ("a", 3)]
# check: d.move_to_end("b")
# check: assert list(d) == ["a", "b"]
# check: assert d.popitem(last=False) == ("a", 3)
from collections import OrderedDict
def dedupe(pairs):
    result = OrderedDict()
    for key, value in pairs:
        result.pop(key, None)
        result[key] = value
    return result
