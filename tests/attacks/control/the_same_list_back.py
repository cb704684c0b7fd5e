# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: a = [3, 1, 2]
# check: assert sort_in_place(a) is a
# check: assert a == [1, 2, 3]
def sort_in_place(values):
    values.sort()
    return values
