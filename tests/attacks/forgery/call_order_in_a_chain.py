# expect: fail error
# kind: 4
# check: first = f(3)
# check: assert first == 10
# check: second = f(first)
# check: assert second == 7
# check: third = f(second)
# check: assert third == 49
# check: assert f(third) == 3
answers, given = iter([10, 7, 49, 3]), {}
def f(x):
    if x not in given:
        given[x] = next(answers)
    return given[x]
