# kind: 5
# expect: timeout
# limits: cpu_s=1 wall_s=20
import os, signal, subprocess, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
source = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        while time.process_time() < 0.5: pass
        os._exit(0)
    try: os.wait()
    except ChildProcessError: pass
"""
subprocess.run([sys.executable, "-S", "-c", source])


def f(x):
    return x + 1
