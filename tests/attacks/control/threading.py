# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import threading
n = []
ts = [threading.Thread(target=n.append, args=(i,)) for i in range(8)]
for t in ts: t.start()
for t in ts: t.join()
assert len(n) == 8
def f(x): return x + 1
