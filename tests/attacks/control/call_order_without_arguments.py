# expect: pass
# kind: 4
# check: assert f() == 1
# check: assert f() == 2
count = 0
def f():
    global count
    count += 1
    return count
