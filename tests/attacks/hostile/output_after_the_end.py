# expect: error timeout
# limits: cpu_s=1 wall_s=3
import os, time
if os.fork() == 0:
    os.setsid(); time.sleep(0.5)
    while True:
        try: os.write(1, b"late " * 1000)
        except OSError: os._exit(0)
raise SystemExit(0)
