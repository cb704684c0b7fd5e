# kind: 9
# modes: split
# sample: another
# expect: pass
# check: class Own: pass
# check: assert f(1) == 2
def f(x):
    return x + 1


# sample: filler
# expect: fail
# check: def answers(c):
# check:     big = [c(0) + str(n) for n in range(5)]
# check:     own = [big]
# check:     own.append(own)
# check:     yield own
# check:     yield c(1)
# check: running = answers(f)
# check: first = next(running)
# check: first.append(running)
# check: assert f(1) == 2
# limits: memory_bytes=100000000 cpu_s=10 wall_s=30
# repeat: 9
def f(x):
    if x == 0:
        return "z" * (7 << 20)
    return 3


# sample: innocent
# expect: pass
# check: assert [f(3) + str(n) for n in range(12)][11] == f(3) + "11"
# limits: memory_bytes=100000000 cpu_s=10 wall_s=30
def f(x):
    return "y" * (x << 20)
