# expect: memory error timeout
# limits: cpu_s=2 wall_s=4
x = {}
while True: x[len(x)] = bytes(10**5)
