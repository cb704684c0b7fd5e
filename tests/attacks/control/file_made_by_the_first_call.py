# expect: pass
# check: import os, stat
# check: path = f("a.txt")
# check: assert os.path.exists(path) and open(path).read() == "text"
# check: assert stat.S_IMODE(os.stat(path).st_mode) == 0o400 and os.path.getmtime(path) == 1000
# kind: 11
import os


def f(name):
    with open(name, "w") as file:
        file.write("text")
    os.chmod(name, 0o400)
    os.utime(name, (1000, 1000))
    return os.path.join(os.getcwd(), name)
