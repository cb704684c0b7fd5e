# expect: error
def f(x:
    return
