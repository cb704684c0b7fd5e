# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
class A:
    def __init__(self): self.x = 1
class B(A):
    def __init__(self): super().__init__(); self.y = 2
assert B().x + B().y == 3
def f(x): return x + 1
