# expect: timeout
# check: for n in range(1000): f(n)
# limits: cpu_s=0.5 wall_s=4
# Each call is short; all of them are not.
def f(x): return sum(range(200_000)) and x
