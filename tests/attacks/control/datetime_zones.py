# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import datetime, zoneinfo
assert datetime.datetime(2024, 1, 1).isoformat() == "2024-01-01T00:00:00"
def f(x): return x + 1
