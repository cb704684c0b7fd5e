# expect: pass
# kind: 11
# limits: cpu_s=5 wall_s=30
# check: import contextlib, io
# check: buffer = io.StringIO()
# check: with contextlib.redirect_stdout(buffer):
# check:     print_triangle(3)
# check: assert buffer.getvalue() == "*\n**\n***\n"
def print_triangle(n):
    for i in range(1, n + 1):
        print("*" * i)
