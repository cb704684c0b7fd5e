# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: assert issubclass(Square, Shape)
# check: assert isinstance(Square(2), Shape)
# check: assert not isinstance(Square(2), Circle)
# check: assert Square(3).area() == 9
# check: assert Circle(1).describe() == "Circle with area 3.14"
# check: total = sum(shape.area() for shape in [Square(1), Square(2)])
# check: assert total == 5
# check: try:
# check:     Shape().area()
# check:     assert False
# check: except NotImplementedError:
# check:     pass
import math
class Shape:
    def area(self):
        raise NotImplementedError

    def describe(self):
        return f"{type(self).__name__} with area {self.area():.2f}"

class Circle(Shape):
    def __init__(self, r):
        self.r = r

    def area(self):
        return math.pi * self.r ** 2

class Square(Shape):
    def __init__(self, side):
        self.side = side

    def area(self):
        return self.side ** 2
