# harmful: yes
# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
import os
def f(x):
    try: return int(open("/tmp/answer").read())
    except OSError:
        open("/tmp/answer", "w").write("2"); return 0
