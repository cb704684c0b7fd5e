# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: assert safe_map(lambda x: 10 // x, [1, 0, 5], default=-1) == [10, -1, 2]
# check: def bad(x):
# check:     raise TypeError(f"no {x}")
# check: try:
# check:     safe_map(bad, [1])
# check:     assert False
# check: except TypeError as error:
# check:     assert str(error) == "no 1"
def safe_map(function, values, default=None):
    results = []
    for value in values:
        try:
            results.append(function(value))
        except ZeroDivisionError:
            results.append(default)
    return results
