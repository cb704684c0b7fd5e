# expect: error timeout
# limits: cpu_s=1 wall_s=3
import os, time
os.makedirs("/tmp/deep/er"); os.chdir("/tmp/deep/er")
if os.fork() == 0:
    os.setsid()
    while True:
        try: open("/tmp/deep/er/back", "w").close()
        except OSError: pass
        time.sleep(0.01)
raise SystemExit(0)
