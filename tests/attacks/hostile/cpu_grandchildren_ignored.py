# kind: 5
# expect: timeout
# limits: cpu_s=1 wall_s=20
import os, signal, time


def burn():
    while time.process_time() < 0.5:
        pass
    os._exit(0)


if os.fork() == 0:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in range(4):
        if os.fork() == 0:
            burn()
        try:
            os.wait()
        except ChildProcessError:
            pass
    os._exit(0)
os.wait()


def f(x):
    return x + 1
