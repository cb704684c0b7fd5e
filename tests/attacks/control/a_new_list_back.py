# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: a = [3, 1, 2]
# check: b = sorted_copy(a)
# check: assert b == [1, 2, 3]
# check: assert b is not a
# check: assert a == [3, 1, 2]
# check: b.append(9)
# check: assert a == [3, 1, 2]
def sorted_copy(values):
    return sorted(values)
