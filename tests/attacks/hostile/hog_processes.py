# kind: 6
# workers: 3
# sample: hog
# expect: error memory timeout
# repeat: 2
# limits: cpu_s=1 wall_s=3
import os
for _ in range(31):
    if os.fork() == 0:
        break
while True:
    pass


# sample: busy
# expect: pass
# check: assert f(200000) == 199999
# limits: cpu_s=1 wall_s=3
def f(n):
    total = 0
    for i in range(n):
        total = (total + i * i) % 7 and i
    return total


# sample: busy_judge
# expect: pass
# check: assert sum(i % 7 for i in range(1500000)) + f(1) == 4499996
# limits: cpu_s=1 wall_s=3
def f(x):
    return x


# sample: asleep
# expect: pass
# limits: cpu_s=1 wall_s=3
import time


def f(x):
    time.sleep(0.2)
    return x + 1
