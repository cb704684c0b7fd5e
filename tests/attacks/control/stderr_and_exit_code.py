# expect: pass
# kind: 11
# limits: cpu_s=5 wall_s=30
# check: import contextlib, io
# check: out, err = io.StringIO(), io.StringIO()
# check: with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
# check:     try:
# check:         main([])
# check:         code = None
# check:     except SystemExit as stop:
# check:         code = stop.code
# check: assert code == 2
# check: assert err.getvalue().startswith("usage")
# check: assert out.getvalue() == ""
# check: with contextlib.redirect_stdout(out):
# check:     assert main(["a", "b"]) == 0
# check: assert out.getvalue() == "2\n"
import sys
def main(argv):
    if not argv:
        print("usage: prog FILE", file=sys.stderr)
        sys.exit(2)
    print(len(argv))
    return 0
