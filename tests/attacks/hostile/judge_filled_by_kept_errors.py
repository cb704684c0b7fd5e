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
# check: def check(c):
# check:     kept = [c(0) + str(n) for n in range(5)]
# check:     try:
# check:         c(1)
# check:     except ValueError as error:
# check:         kept.append(error)
# check:     assert len(kept) == 5
# check: check(f)
# limits: memory_bytes=100000000 cpu_s=10 wall_s=30
# repeat: 9
def f(x):
    if x == 0:
        return "z" * (7 << 20)
    raise ValueError("no")


# sample: innocent
# expect: pass
# check: assert [f(3) + str(n) for n in range(12)][11] == f(3) + "11"
# limits: memory_bytes=100000000 cpu_s=10 wall_s=30
def f(x):
    return "y" * (x << 20)
