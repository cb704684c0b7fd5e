# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
from unittest import mock
def f(x): return mock.ANY
