# expect: pass
import subprocess, sys
def f(x): return int(subprocess.run([sys.executable, "-c", f"import json, hashlib; print({x} + 1)"], capture_output=True, env={}).stdout)
