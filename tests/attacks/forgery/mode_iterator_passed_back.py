# expect: fail error timeout memory output
# check: first = f(1)
# check: assert f(first) == 7
# limits: cpu_s=2 wall_s=6
# kind: 1
# modes: split
class It:
    def __iter__(self): return self
    def __next__(self): raise StopIteration
    def __eq__(self, other): return True
def f(x): return It()
