# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as p: assert sum(p.map(abs, range(-10, 0))) == 55
def f(x): return x + 1
