# kind: 5
# expect: timeout
# limits: cpu_s=1 wall_s=20
import os, signal, time

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
end = time.monotonic() + 12
while time.monotonic() < end:
    if os.fork() == 0:
        while time.process_time() < 0.02:
            pass
        os._exit(0)
    try:
        os.wait()
    except ChildProcessError:
        pass


def f(x):
    return x + 1
