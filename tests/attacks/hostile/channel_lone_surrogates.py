# expect: fail error
def f(x): return "\ud800\udfff" * 1000
