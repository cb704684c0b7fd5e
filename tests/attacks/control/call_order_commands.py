# expect: pass
# kind: 4
# check: f('push', 1)
# check: f('push', 2)
# check: assert f('pop') == 2
# check: assert f('pop') == 1
stack = []
def f(command, value=None):
    if command == "push":
        stack.append(value)
        return None
    return stack.pop()
