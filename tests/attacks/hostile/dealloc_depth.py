# expect: error timeout memory
# limits: cpu_s=2 wall_s=8
x = None
for _ in range(10**6): x = (x,)
del x
