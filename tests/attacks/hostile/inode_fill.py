# expect: error
# limits: cpu_s=1 wall_s=3
for n in range(10**6): open(f"/tmp/{n}", "w").close()
