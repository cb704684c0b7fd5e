# expect: error fail
# limits: cpu_s=1 wall_s=3
def f(x):
    y = []
    y.append(y)
    return y
