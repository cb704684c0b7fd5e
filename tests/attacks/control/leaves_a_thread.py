# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
def f(x): return x + 1
