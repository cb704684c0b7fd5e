# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
if __name__ == "__main__":
    raise SystemExit("a main block of a script")
def f(x): return x + 1
