# expect: fail error
# kind: 4
# check: assert f(1) == 1
# check: assert f(1, 2) == 3
# check: assert f(2) == 4
# check: assert f(3, 4) == 7
# check: assert f(5) == 25
# check: assert f(5, 6) == 11
seen = {1: 0, 2: 0}
answers = {1: [1, 4, 25], 2: [3, 7, 11]}
def f(*arguments):
    seen[len(arguments)] += 1
    return answers[len(arguments)][seen[len(arguments)] - 1]
