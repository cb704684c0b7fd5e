# expect: timeout error
# limits: cpu_s=0.5 wall_s=2
import os, sys
os.execv(sys.executable, [sys.executable, "-S", "-c", "import os, sys\nwhile True: pass"])
