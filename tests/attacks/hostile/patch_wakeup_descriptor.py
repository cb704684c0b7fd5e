# expect: error fail timeout
# limits: cpu_s=1 wall_s=3
# Every signal writes a byte onto a descriptor that is not its own.
import os, signal
for fd in range(3, 64):
    try: os.set_blocking(fd, False); signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    except (OSError, ValueError): continue
    signal.signal(signal.SIGUSR1, lambda *a: None)
    for _ in range(10): os.kill(os.getpid(), signal.SIGUSR1)
def f(x): return 0
