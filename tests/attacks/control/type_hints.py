# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: from typing import Optional, get_type_hints
# check: hints = get_type_hints(merge)
# check: assert hints["return"] == dict[str, int]
# check: assert hints["b"] == Optional[dict[str, int]]
# check: assert merge({"x": 1}, {"y": 2}) == {"x": 1, "y": 2}
from typing import Optional, get_type_hints
def merge(a: dict[str, int], b: Optional[dict[str, int]] = None) -> dict[str, int]:
    return {**a, **(b or {})}
