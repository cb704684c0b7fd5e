# kind: 7
# expect: error timeout
# limits: cpu_s=2 wall_s=4
# check: assert f(1) == 3
import os
try:
    while True:  # deeper than a path can say
        os.mkdir("d" * 250)
        os.chdir("d" * 250)
        open("f" * 250, "w").close()
        os.chmod("../" + "d" * 250, 0o100)
except OSError:
    pass
def f(x): return os._exit(0)
