# expect: error timeout
# limits: cpu_s=1 wall_s=2
import os, signal
try: os.kill(os.getppid(), signal.SIGSTOP)
except OSError: pass
