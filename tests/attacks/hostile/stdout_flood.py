# expect: output timeout
# limits: cpu_s=1 wall_s=3
import sys
while True: sys.stdout.write("x" * 65536)
