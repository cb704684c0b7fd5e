# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import hashlib, base64, hmac
assert hashlib.md5(b"x").hexdigest() == "9dd4e461268c8034f5c8564e155c67a6"
def f(x): return x + 1
