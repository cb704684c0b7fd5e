# expect: timeout
# limits: cpu_s=0.3 wall_s=1
while True:
    try:
        while True: 1 + 1
    except BaseException: continue
