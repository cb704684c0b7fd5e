# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
x = bytearray(300 << 20)
for i in range(0, len(x), 4096): x[i] = 1
def f(x): return x + 1
