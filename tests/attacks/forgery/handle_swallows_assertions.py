# expect: fail error timeout memory output
# check: with f() as x:
# check:     assert x == 5
# limits: cpu_s=2 wall_s=6
# kind: 10
# modes: split
class C:
    def __enter__(self): return 3
    def __exit__(self, *given): return True
def f(): return C()
