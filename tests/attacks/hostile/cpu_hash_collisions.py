# expect: timeout memory
# limits: cpu_s=0.3 wall_s=1
d = {}
for i in range(200_000): d[i * (2**61 - 1) * 2**40 + i] = 0
while True: d[len(d) * (2**61 - 1)] = 0
