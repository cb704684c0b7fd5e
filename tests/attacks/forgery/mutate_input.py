# expect: fail error timeout memory output
# check: given = [3, 1, 2]
# check: assert f(list(given)) == sorted(given)
# limits: cpu_s=2 wall_s=6
def f(x):
    x.clear()
    return []
