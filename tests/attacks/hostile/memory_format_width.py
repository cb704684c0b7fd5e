# expect: memory error timeout
# limits: cpu_s=2 wall_s=4
x = "{:>9999999999}".format(1)
