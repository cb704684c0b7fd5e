# expect: fail error timeout memory
# limits: cpu_s=1 wall_s=3
import os
def f(x):
    for fd in range(3, 64):
        try: os.write(fd, b"\xff\xff\xff\xff" + b"[" * 1000)
        except OSError: pass
