# expect: timeout
# limits: cpu_s=1 wall_s=3
def f(x):
    while True: pass
