# expect: error
# denied: yes
import os
leaks = {k: v for k, v in os.environ.items() if k not in ("PATH", "LANG", "LC_CTYPE", "HOME", "PWD")}
print("ALLOWED" if leaks else "DENIED", leaks)
