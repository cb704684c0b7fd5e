# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
for _ in range(1000): print("x" * 999)
def f(x): return x + 1
