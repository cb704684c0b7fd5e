# expect: fail error timeout memory output
# check: class Judge:
# check:     def right(self, x): return x == 5
# check: j = Judge()
# check: assert j.right(f(j))
# limits: cpu_s=2 wall_s=6
# kind: 10
# modes: split
def f(j):
    for change in (lambda: setattr(j, 'right', lambda x: True), lambda: setattr(type(j), 'right', lambda self, x: True),
                   lambda: j.__dict__.update(right=lambda x: True), lambda: j.__class__.__init__.__globals__):
        try: change()
        except Exception: pass
    return 4
