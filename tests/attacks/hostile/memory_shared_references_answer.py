# expect: error memory fail timeout
# limits: cpu_s=2 wall_s=3
# Two references at each level: written down as a tree it has 2**100 leaves.
def f(x):
    value = [1]
    for _ in range(100): value = [value, value]
    return value
