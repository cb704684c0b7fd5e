# kind: 7
# expect: error timeout memory
# limits: cpu_s=2 wall_s=4
import os, signal, time
for _ in range(20):  # whatever stays stopped has to be killed all the same
    if os.fork() == 0:
        os.setpgid(0, 0)
        child = os.fork()
        os.kill(os.getpid() if child else os.getppid(), signal.SIGSTOP)
        while True:
            os.kill(-1, signal.SIGSTOP)
for _ in range(1000):
    os.kill(-1, signal.SIGSTOP)
    os.kill(1, signal.SIGCHLD)
