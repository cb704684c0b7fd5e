# expect: fail error timeout memory output
# check: for a, b in zip(map(f, [1, 2]), [3, 4]): assert a == b
# limits: cpu_s=2 wall_s=6
# kind: 10
# modes: split
def f(x): raise StopIteration
