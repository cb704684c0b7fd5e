# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: import itertools
# check: assert first_matching(itertools.count(), lambda x: x % 3 == 0, 3) == [0, 3, 6]
# check: def squares():
# check:     n = 1
# check:     while True:
# check:         yield n * n
# check:         n += 1
# check: source = squares()
# check: assert first_matching(source, lambda x: x > 10, 2) == [16, 25]
# check: assert next(source) == 36
def first_matching(values, predicate, n):
    out = []
    for value in values:
        if predicate(value):
            out.append(value)
            if len(out) == n:
                break
    return out
