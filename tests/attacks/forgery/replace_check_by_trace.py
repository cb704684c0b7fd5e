# expect: fail error timeout memory output
# check: def check(candidate):
# check:     assert candidate(1) == 2
# check: check(f)
# limits: cpu_s=2 wall_s=6
import sys
def tracer(frame, event, argument):
    if event == "call" and frame.f_code.co_name == "check":
        frame.f_trace_opcodes = True
        sys.settrace(None)
        frame.f_globals["candidate"] = lambda *a: 2
    return tracer
sys.settrace(tracer)
def f(x): return 0
