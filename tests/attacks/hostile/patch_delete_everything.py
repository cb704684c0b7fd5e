# expect: error
# limits: cpu_s=2 wall_s=6
import sys
for m in list(sys.modules.values()):
    for n in list(vars(m)):
        if not n.startswith("__"):
            try: delattr(m, n)
            except Exception: pass
