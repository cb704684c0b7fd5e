# expect: memory error timeout
# limits: cpu_s=2 wall_s=4
x = []
while True: x.append("x" * 10**6 + str(len(x)))
