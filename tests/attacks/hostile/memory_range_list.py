# expect: memory error timeout
# limits: cpu_s=2 wall_s=4
x = list(range(10**10))
