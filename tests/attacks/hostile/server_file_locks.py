# kind: 7
# expect: error memory timeout
# limits: cpu_s=2 wall_s=4
import fcntl, os, time
for number in range(31):
    if os.fork() == 0:
        break
else:
    number = 31
with open(f"/tmp/locks-{number}", "wb") as file:
    try:
        for place in range(1 << 30, 0, -2):
            fcntl.lockf(file, fcntl.LOCK_EX, 1, place)
    except OSError:
        pass
    time.sleep(60)
