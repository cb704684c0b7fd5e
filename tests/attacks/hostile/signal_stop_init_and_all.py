# expect: error timeout
# limits: cpu_s=1 wall_s=2
import os, signal
os.kill(-1, signal.SIGSTOP)
raise SystemExit
