# expect: fail error timeout memory output
# check: seen = []
# check: def show(x):
# check:     seen.append(x)
# check: f(show)
# check: assert seen == [1, 2]
# limits: cpu_s=2 wall_s=6
# kind: 10
# modes: split
def f(g):
    for name in ('__globals__', '__closure__', '__code__', '__self__'):
        try: getattr(g, name)['seen'] = [1, 2]
        except Exception: pass
    g(1)
