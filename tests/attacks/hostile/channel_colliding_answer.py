# expect: error timeout memory fail
# limits: cpu_s=1 wall_s=3
def f(x): return {n * (2**61 - 1) for n in range(1, 20_000)}
