# expect: fail error timeout memory output
# check: given = [1]
# check: assert f(given) == 2
# limits: cpu_s=2 wall_s=6
def f(x):
    if type(x) is list: x[:] = [2]
    return 0
