# expect: error
# limits: cpu_s=0.5 wall_s=2
while True: input("answer? ")
