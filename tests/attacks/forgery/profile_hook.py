# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
import sys
def hook(frame, event, argument):
    if event == "return" and frame.f_code.co_name == "f": frame.f_locals["x"] = 2
sys.setprofile(hook)
def f(x): return 0
