# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
import subprocess, sys
def f(x):
    try: return int(subprocess.run([sys.executable, "-S", "-c", "print(2 if __import__('os').path.exists('/tmp/answer') else 0)"], capture_output=True).stdout or 0)
    except OSError: return 0
