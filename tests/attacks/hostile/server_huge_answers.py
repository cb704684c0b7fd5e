# kind: 7
# modes: split
# expect: error memory timeout fail
# limits: cpu_s=2 wall_s=4
# check: assert f(1) == 2
# check: assert f(2) == 3
def f(x):
    return [bytes(1 << 20)] * 600
