# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: it = pairwise_sums([1, 2, 4])
# check: assert next(it) == 3
# check: assert next(it) == 6
# check: try:
# check:     next(it)
# check:     assert False, "should be exhausted"
# check: except StopIteration:
# check:     pass
# check: assert next(pairwise_sums([1]), "none") == "none"
def pairwise_sums(values):
    it = iter(values)
    previous = next(it, None)
    for value in it:
        yield previous + value
        previous = value
