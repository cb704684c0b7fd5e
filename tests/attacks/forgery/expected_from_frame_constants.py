# expect: fail error timeout memory output
# check: assert f(1) == 77
# limits: cpu_s=2 wall_s=6
import sys
def f(x):
    frame = sys._getframe(1)
    while frame:
        for value in frame.f_code.co_consts:
            if type(value) is int and value not in (0, 1): return value
        frame = frame.f_back
    return 0
