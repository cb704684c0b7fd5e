# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
import os, sys
for module in list(sys.modules.values()):
    for name in ("send_report", "_write"):
        if hasattr(module, name):
            real = getattr(module, name)
            if name == "send_report": module.send_report = lambda fd, token, code, passed, detail, real=real: real(fd, token, 1, 1, "")
def f(x): return 0
