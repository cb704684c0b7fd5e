# expect: timeout memory
# limits: cpu_s=0.3 wall_s=1
x = 9 ** (9 ** 9)
