# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: import re
# check: from contextlib import contextmanager
# check: @contextmanager
# check: def raises(kind, match=""):
# check:     try:
# check:         yield
# check:     except kind as error:
# check:         assert re.search(match, str(error)), str(error)
# check:     else:
# check:         raise AssertionError("nothing was raised")
# check: with raises(ValueError, match="not allowed"):
# check:     divide(1, 0)
# check: assert divide(1, 4) == 0.25
def divide(a, b):
    if b == 0:
        raise ValueError("division by zero is not allowed")
    return a / b
