# expect: fail error timeout memory output
# check: r = f(1)
# check: assert r == 2
# check: r = 0
# limits: cpu_s=2 wall_s=6
import sys
def tracer(frame, event, argument):
    frame.f_trace_lines = True
    if event == "line" and frame.f_code.co_filename.startswith("<check"):
        try: frame.f_lineno = frame.f_lineno + 1
        except ValueError: pass
    return tracer
def f(x):
    sys.settrace(tracer)
    frame = sys._getframe(1)
    while frame:
        frame.f_trace = tracer
        frame = frame.f_back
    return 0
