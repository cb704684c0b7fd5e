# expect: error timeout output
# limits: cpu_s=2 wall_s=4 output_bytes=100000
import subprocess, sys
subprocess.run([sys.executable, "-S", "-c", "import os\nwhile True: os.write(1, b'x' * 65536)"])
