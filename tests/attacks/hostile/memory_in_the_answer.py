# expect: error memory fail timeout
# limits: cpu_s=3 wall_s=4
# Small here, large once written down.
def f(x):
    a = "x" * 1_000_000
    return [a] * 100_000
