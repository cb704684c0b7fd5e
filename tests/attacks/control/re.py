# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import re
assert re.sub(r"(\w)\1", r"<\1>", "aabb") == "<a><b>"
def f(x): return x + 1
