# expect: error timeout
# limits: cpu_s=1 wall_s=2
import os
for p in range(2, 400):
    try:
        if p != os.getpid(): os.kill(p, 9)
    except OSError: pass
raise SystemExit
