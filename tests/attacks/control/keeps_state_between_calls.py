# expect: pass
# stateful: yes
# check: assert f(1) == 1
# check: assert f(2) == 3
n = 0
def f(x):
    global n
    n += x
    return n
