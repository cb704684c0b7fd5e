# expect: error timeout memory
# limits: cpu_s=1.5 wall_s=5
# Asks for names that do not exist: the kernel remembers each of them.
import os
n = 0
while True:
    try: os.stat("/tmp/" + "%0240d" % n)
    except FileNotFoundError: n += 1
