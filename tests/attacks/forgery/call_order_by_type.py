# expect: fail error
# kind: 4
# check: assert f(1) == 2
# check: assert f('a') == 'a!'
# check: assert f(2) == 3
# check: assert f('b') == 'b!'
# check: assert f(5) == 6
# check: assert f('c') == 'c!'
import collections
counts = collections.Counter()
answers = {int: [2, 3, 6], str: ["a!", "b!", "c!"]}
def f(x):
    counts[type(x)] += 1
    return answers[type(x)][counts[type(x)] - 1]
