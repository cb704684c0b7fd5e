# expect: fail error timeout memory output
# check: import os
# check: f("right.txt")
# check: assert os.listdir() == ["right.txt"] and open("right.txt").read() == "right"
# limits: cpu_s=2 wall_s=6
# kind: 11
# modes: split
import os
class Path(str):
    def __eq__(self, other): return True
def f(name):
    for other in ("os.py", "sitecustomize.py", "builtins.py", "unittest.py"):
        with open(other, "w") as file:
            file.write("def listdir(*a): return ['right.txt']\n")
    os.symlink("os.py", name)
