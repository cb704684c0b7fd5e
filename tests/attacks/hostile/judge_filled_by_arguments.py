# kind: 9
# modes: split
# sample: another
# expect: pass
# check: class Own: pass
# check: assert f(1) == 2
def f(x):
    return x + 1


# sample: filler
# expect: error
# check: def check(c):
# check:     big = ["a" * (6 << 20) + str(n) for n in range(5)]
# check:     assert [c(text) for text in big]
# check: check(f)
# limits: memory_bytes=100000000 cpu_s=10 wall_s=30
# repeat: 9
def f(text):
    raise IndexError(len(text))


# sample: innocent
# expect: pass
# check: assert [f(3) + str(n) for n in range(12)][11] == f(3) + "11"
# limits: memory_bytes=100000000 cpu_s=10 wall_s=30
def f(x):
    return "y" * (x << 20)
