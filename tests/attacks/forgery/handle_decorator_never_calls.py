# expect: fail error timeout memory output
# check: ran = []
# check: @f
# check: def t(x):
# check:     ran.append(x)
# check:     return x
# check: assert t(3) == 3 and ran == [3]
# limits: cpu_s=2 wall_s=6
# kind: 10
# modes: split
def f(g):
    return lambda x: x
