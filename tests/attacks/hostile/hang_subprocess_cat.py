# expect: timeout error
# limits: cpu_s=0.3 wall_s=1.5
import subprocess, sys
subprocess.run([sys.executable, "-c", "import time; time.sleep(10**6)"])
