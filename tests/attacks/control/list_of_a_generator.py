# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: assert list(count_up_to(3)) == [0, 1, 2]
# check: assert list(count_up_to(0)) == []
# check: assert sum(count_up_to(5)) == 10
# check: assert [x * 2 for x in count_up_to(3)] == [0, 2, 4]
def count_up_to(n):
    i = 0
    while i < n:
        yield i
        i += 1
