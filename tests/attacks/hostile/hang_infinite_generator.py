# expect: timeout
# limits: cpu_s=0.3 wall_s=1
list(iter(int, 1)) if False else sum(iter(int, 1))
