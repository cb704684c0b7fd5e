# kind: 9
# modes: split
# sample: another
# expect: pass
# check: class Own: pass
# check: assert f(1) == 2
def f(x):
    return x + 1


# sample: filler
# expect: memory fail error
# check: def check(c):
# check:     kept = []
# check:     while c(1) == 1:
# check:         kept.append(c(0) + str(len(kept)))
# check: check(f)
# limits: memory_bytes=100000000 cpu_s=10 wall_s=30
# repeat: 2
def f(x):
    if x == 0:
        return "z" * (7 << 20)
    return 1


# sample: innocent
# expect: pass
# check: assert [f(3) + str(n) for n in range(12)][11] == f(3) + "11"
# limits: memory_bytes=100000000 cpu_s=10 wall_s=30
def f(x):
    return "y" * (x << 20)
