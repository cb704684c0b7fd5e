# expect: timeout
# limits: cpu_s=0.3 wall_s=1
import os, signal
os.kill(os.getpid(), signal.SIGSTOP)
