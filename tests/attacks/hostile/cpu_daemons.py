# kind: 5
# expect: timeout
# limits: cpu_s=1 wall_s=20
import os, time


def burn():
    while time.process_time() < 0.5:
        pass
    os._exit(0)


reading, writing = os.pipe()
for _ in range(4):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            burn()
        os._exit(0)
    os.wait()
os.close(writing)
os.read(reading, 1)  # until all of them have ended


def f(x):
    return x + 1
