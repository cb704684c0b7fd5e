# kind: 5
# expect: timeout
# limits: cpu_s=1 wall_s=20
import os, time


def burn():
    while time.process_time() < 0.5:
        pass
    os._exit(0)


for _ in range(4):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            burn()
        os._exit(0)
    os.wait()
time.sleep(5)


def f(x):
    return x + 1
