# expect: pass
# check: assert f(1) == {(1, 2): [{3}, frozenset({4})], "k": {"n": None}, 5: (True, b"b", 1j)}
def f(x): return {(1, 2): [{3}, frozenset({4})], "k": {"n": None}, 5: (True, b"b", 1j)}
