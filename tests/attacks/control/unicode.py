# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
é = "naïve ☃ 🎉"
print(é)
assert é.encode().decode() == é
def f(x): return x + 1
