# expect: output
# limits: cpu_s=1 wall_s=3
print("x" * 2_000_000)
f = lambda x: 2
