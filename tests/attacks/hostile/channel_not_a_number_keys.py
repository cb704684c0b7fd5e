# expect: fail error
def f(x): return {float("nan"): 1, float("inf"): 2, -0.0: {(): b"\xff"}}
