# expect: fail error timeout memory output
# check: try: r = f(1)
# check: except ValueError: r = 2
# check: assert r == 2
# limits: cpu_s=2 wall_s=6
def f(x): raise AssertionError
