# expect: pass
# check: try: f(-1)
# check: except ValueError as e: assert str(e) == "negative"
# check: else: raise AssertionError("no error")
def f(x): raise ValueError("negative")
