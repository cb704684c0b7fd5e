# kind: 6
# workers: 3
# sample: hog
# expect: error memory timeout
# repeat: 2
# limits: cpu_s=1 wall_s=3
import hashlib, threading
def hash_on():
    data = bytes(1 << 20)
    while True:
        hashlib.sha512(data).digest()
for _ in range(31):
    threading.Thread(target=hash_on).start()
hash_on()


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
