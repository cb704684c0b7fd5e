# sample: locks
# expect: error
# limits: cpu_s=1 wall_s=3
import fcntl, os, sys, time
for module in list(sys.modules.values()):
    name = getattr(module, "__file__", None)
    if name:
        try: fcntl.flock(os.open(name, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError: pass
if os.fork() == 0:
    os.setsid(); time.sleep(10**6)
raise SystemExit(0)
# sample: innocent
# expect: pass
import fcntl, sys
import colorsys, json
with open(json.__file__) as source: fcntl.flock(source, fcntl.LOCK_EX | fcntl.LOCK_NB)
def f(x): return x + 1
