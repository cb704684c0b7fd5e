# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import copy, json, pickle
class A: x = 1
assert json.loads(json.dumps({"a": [1]})) == {"a": [1]} and pickle.loads(pickle.dumps(A())).x == 1
def f(x): return x + 1
