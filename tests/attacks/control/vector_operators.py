# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: a, b = Vector(1, 2), Vector(3, 4)
# check: c = a + b
# check: assert (c.x, c.y) == (4, 6)
# check: assert (b - a).x == 2
# check: assert (a * 3).y == 6
# check: assert (2 * b).x == 6
# check: assert (-a).y == -2
# check: assert abs(b) == 5.0
# check: assert repr(a) == "Vector(1, 2)"
# check: assert str(Vector(0.5, 0)) == "Vector(0.5, 0)"
# check: assert bool(Vector(0, 0)) is False
# check: assert not Vector(0, 0)
# check: assert f"{a}" == "Vector(1, 2)"
import math
class Vector:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def __add__(self, other):
        return Vector(self.x + other.x, self.y + other.y)

    def __sub__(self, other):
        return Vector(self.x - other.x, self.y - other.y)

    def __mul__(self, k):
        return Vector(self.x * k, self.y * k)

    __rmul__ = __mul__

    def __neg__(self):
        return self * -1

    def __abs__(self):
        return math.hypot(self.x, self.y)

    def __bool__(self):
        return bool(self.x or self.y)

    def __repr__(self):
        return f"Vector({self.x!r}, {self.y!r})"
