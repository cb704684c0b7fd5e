# expect: error fail timeout
# limits: cpu_s=1 wall_s=3
import gc, os
gc.callbacks.append(lambda *a: os._exit(0)); gc.freeze(); gc.set_threshold(1)
def f(x): return [[] for _ in range(10**5)] and 0
