# harmful: yes
# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
import os
def f(x):
    for p in range(1, 300):
        if p != os.getpid():
            try: os.kill(p, 9)
            except OSError: pass
    return 0
