# expect: pass
# kind: 10
# modes: shared
# limits: cpu_s=5 wall_s=30
# check: assert parse_point("(1, 2)") == Point(1, 2)
# check: assert parse_point("(3,4)").y == 4
from dataclasses import dataclass
@dataclass
class Point:
    x: int
    y: int

def parse_point(text):
    x, y = text.strip("()").split(",")
    return Point(int(x), int(y))
