# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: avg = running_average()
# check: next(avg)
# check: assert avg.send(10) == 10.0
# check: assert avg.send(20) == 15.0
# check: assert avg.send(30) == 20.0
# check: avg.close()
def running_average():
    total, count, average = 0.0, 0, None
    while True:
        value = yield average
        total += value
        count += 1
        average = total / count
