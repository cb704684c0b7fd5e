# expect: pass
# kind: 11
# limits: cpu_s=5 wall_s=30
# check: import io, sys
# check: captured = io.StringIO()
# check: sys.stdout = captured
# check: try:
# check:     result = hello("Ada")
# check: finally:
# check:     sys.stdout = sys.__stdout__
# check: assert captured.getvalue() == "Hello, Ada!"
# check: assert result is None
def hello(name):
    print("Hello,", name, end="!")
    return None
