# kind: 5
# expect: pass
# limits: cpu_s=10 wall_s=30
# check: assert f(2) == [0, 0]
import os, signal, subprocess, sys


def f(n):
    """As daemons do it, so that no zombies are left."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in range(5):
        if os.fork() == 0:
            os._exit(0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return [subprocess.run([sys.executable, "-S", "-c", ""]).returncode for _ in range(n)]
