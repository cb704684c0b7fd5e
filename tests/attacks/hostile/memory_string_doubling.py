# expect: memory error timeout
# limits: cpu_s=2 wall_s=4
x = "x" * 1024
while True: x += x
