# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: c1 = make_counter()
# check: c2 = make_counter()
# check: assert c1() == 1
# check: assert c1() == 2
# check: assert c2() == 1
# check: assert c1() == 3
def make_counter():
    count = 0
    def counter():
        nonlocal count
        count += 1
        return count
    return counter
