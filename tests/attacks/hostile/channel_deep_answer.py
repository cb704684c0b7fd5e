# expect: error fail
# limits: cpu_s=1 wall_s=3
def f(x):
    y = []
    for _ in range(100_000): y = [y]
    return y
