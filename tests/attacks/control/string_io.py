# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import contextlib, io, sys
with contextlib.redirect_stdout(io.StringIO()) as s: print("x")
assert s.getvalue() == "x\n"
def f(x): return x + 1
