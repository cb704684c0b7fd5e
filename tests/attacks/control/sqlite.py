# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import sqlite3
assert sqlite3.connect(":memory:").execute("select 1 + 1").fetchone() == (2,)
def f(x): return x + 1
