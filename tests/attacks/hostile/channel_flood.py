# expect: timeout error output fail
# limits: cpu_s=1 wall_s=3
import os
while True:
    try: os.write(4, b"\0\0\0\2[]")
    except OSError: raise SystemExit
