# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
from __future__ import annotations
from dataclasses import dataclass, field
@dataclass(order=True)
class P:
    x: int
    y: list[int] = field(default_factory=list)
assert P(1) < P(2)
def f(x): return x + 1
