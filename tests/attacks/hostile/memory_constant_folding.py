# expect: error memory timeout
# limits: cpu_s=2 wall_s=3
def f(x): return [("ab" * 2000) * x * 10**9, (1 << 8_000) ** (10**7)]
