# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import tempfile, os
with tempfile.TemporaryDirectory() as d:
    open(os.path.join(d, "x"), "w").write("y")
with tempfile.NamedTemporaryFile("w+") as t: t.write("z")
open("left", "w").write("x")
def f(x): return x + 1
