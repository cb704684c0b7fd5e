# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import logging, warnings
warnings.warn("x"); logging.getLogger().warning("y")
def f(x): return x + 1
