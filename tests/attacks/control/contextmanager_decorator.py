# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: out = []
# check: with tag("b", out) as label:
# check:     out.append(label)
# check: assert out == ["<b>", "B", "</b>"]
# check: out = []
# check: try:
# check:     with tag("i", out):
# check:         raise RuntimeError
# check: except RuntimeError:
# check:     pass
# check: assert out == ["<i>", "</i>"]
from contextlib import contextmanager
@contextmanager
def tag(name, out):
    out.append(f"<{name}>")
    try:
        yield name.upper()
    finally:
        out.append(f"</{name}>")
