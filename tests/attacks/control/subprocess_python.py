# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import subprocess, sys
assert subprocess.run([sys.executable, "-S", "-c", "print(3)"], capture_output=True, text=True).stdout == "3\n"
def f(x): return x + 1
