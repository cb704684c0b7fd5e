# expect: timeout error fail
# limits: cpu_s=0.3 wall_s=1.5
import time, weakref
class Late: pass
late = Late()
weakref.finalize(late, time.sleep, 10**6)
def f(x): raise SystemExit(0)
