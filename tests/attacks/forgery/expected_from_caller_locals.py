# expect: fail error timeout memory output
# check: expected = 77
# check: assert f(1) == expected
# limits: cpu_s=2 wall_s=6
import sys
def f(x):
    frame = sys._getframe(1)
    while frame:
        for name in ("expected", "want", "answer", "out"):
            if name in frame.f_locals: return frame.f_locals[name]
        frame = frame.f_back
    return 0
