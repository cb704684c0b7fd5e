# expect: error timeout
# limits: cpu_s=1 wall_s=3
import subprocess, sys
subprocess.run([sys.executable, "-S", "-c", "import os\nwhile True: os.fork()"])
