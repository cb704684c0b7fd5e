# expect: error fail
def f(x):
    group = ValueError("x")
    for _ in range(500): group = ExceptionGroup("g", [group, group])
    raise group
