# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: s = summarize([1, 2, 6])
# check: assert s.minimum == 1 and s.maximum == 6
# check: assert s == (1, 6, 3.0)
# check: low, high, mean = s
# check: assert mean == 3.0
# check: assert s._asdict() == {"minimum": 1, "maximum": 6, "mean": 3.0}
# check: assert s._fields == ("minimum", "maximum", "mean")
# check: assert isinstance(s, tuple)
# check: assert s[1] == 6
from collections import namedtuple
Summary = namedtuple("Summary", "minimum maximum mean")
def summarize(values):
    return Summary(min(values), max(values), sum(values) / len(values))
