# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
open("/tmp/x", "w").write("a\nb"); assert open("/tmp/x").read().split() == ["a", "b"]
def f(x): return x + 1
