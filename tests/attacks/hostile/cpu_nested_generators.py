# expect: timeout error memory
# limits: cpu_s=1 wall_s=4
def f(x): return 0
def chain(it): yield from it
it = iter(range(10**9))
for _ in range(900): it = chain(it)
for _ in it: pass
