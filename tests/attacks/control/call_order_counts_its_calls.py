# expect: pass
# kind: 4
# check: assert f(3) == 180
# check: assert f(4) == 360
# check: assert f(5) == 540
import collections
calls = collections.Counter()
class Shape:
    made = 0
    def __init__(self, sides):
        Shape.made += 1
        self.sides = sides
def f(sides):
    calls[sides] += 1
    return Shape(sides).sides * 180 - 360
