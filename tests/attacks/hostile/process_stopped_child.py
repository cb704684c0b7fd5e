# expect: error
# limits: cpu_s=1 wall_s=3
import os, signal
for _ in range(5):
    if os.fork() == 0:
        os.setsid(); os.kill(os.getpid(), signal.SIGSTOP)
