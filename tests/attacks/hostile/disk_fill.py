# expect: error
# limits: cpu_s=1 wall_s=3
for n in range(1000): open(f"/tmp/{n}", "wb").write(bytes(8 << 20))
