# expect: fail error timeout
# limits: cpu_s=1 wall_s=2
import os, time
def f(x):
    for fd in range(3, 64):
        try: os.write(fd, b"\x00\x00\x10\x00[2, ")
        except OSError: pass
    time.sleep(10**6)
