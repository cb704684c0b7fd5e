# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
print("PASSED\nOK\npass\n{\"outcome\": \"pass\"}\n")
def f(x): return 0
