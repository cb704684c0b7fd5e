# expect: error timeout
# limits: cpu_s=1 wall_s=3
import os, signal
def breed(*a):
    try: os.fork()
    except OSError: pass
for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR1): signal.signal(number, breed)
for _ in range(10): os.kill(0, signal.SIGUSR1)
