# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
import gc, re
def f(x):
    for thing in gc.get_objects():
        for value in (list(thing.values()) if type(thing) is dict else thing if type(thing) in (list, tuple) else ()):
            text = value if type(value) is str else value.decode("latin1") if type(value) is bytes else ""
            found = re.search(r"assert f\(1\) == (\w+)", text)
            if found and "found" not in text: return eval(found.group(1))
    return 0
