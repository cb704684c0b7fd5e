# expect: output timeout
# limits: cpu_s=1 wall_s=3
import os
while True:
    try: os.write(2, b"x" * 65536)
    except OSError: pass
