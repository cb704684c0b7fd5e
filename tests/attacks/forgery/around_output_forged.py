# expect: fail error timeout memory output
# check: import io, contextlib
# check: b = io.StringIO()
# check: with contextlib.redirect_stdout(b): f(1)
# check: assert b.getvalue() == 'right\n'
# limits: cpu_s=2 wall_s=6
# kind: 11
# modes: split
import sys
class Out(str):
    def __eq__(self, other): return True
def f(x):
    sys.stdout.write(Out('wrong'))
