# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: from collections.abc import Iterator
# check: import types
# check: result = evens(7)
# check: assert isinstance(result, Iterator)
# check: assert isinstance(evens(1), types.GeneratorType)
# check: assert list(result) == [0, 2, 4, 6]
# check: assert list(result) == []
def evens(limit):
    return (n for n in range(limit) if n % 2 == 0)
