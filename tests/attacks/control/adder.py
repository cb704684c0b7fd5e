# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: assert make_adder(2)(3) == 5
# check: add10 = make_adder(10)
# check: assert add10(5) == 15
# check: assert list(map(make_adder(1), [1, 2, 3])) == [2, 3, 4]
def make_adder(n):
    return lambda x: x + n
