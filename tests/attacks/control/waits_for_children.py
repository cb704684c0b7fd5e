# kind: 5
# expect: pass
# limits: cpu_s=10 wall_s=30
# check: assert f(5) == 10
import os


def f(n):
    for k in range(n):
        if os.fork() == 0:
            os._exit(k)
    total = 0
    while True:
        try:
            total += os.waitstatus_to_exitcode(os.wait()[1])
        except ChildProcessError:
            return total
