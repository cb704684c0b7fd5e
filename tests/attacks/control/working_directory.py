# expect: pass
# kind: 11
# limits: cpu_s=5 wall_s=30
# check: import os, tempfile
# check: before = os.getcwd()
# check: with tempfile.TemporaryDirectory() as folder:
# check:     os.chdir(folder)
# check:     for name in ("x.py", "y.py", "z.txt"):
# check:         open(name, "w").close()
# check:     try:
# check:         assert list_here(".py") == ["x.py", "y.py"]
# check:     finally:
# check:         os.chdir(before)
import os
def list_here(suffix=""):
    return sorted(name for name in os.listdir() if name.endswith(suffix))
