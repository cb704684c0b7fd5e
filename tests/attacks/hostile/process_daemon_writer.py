# expect: error
# limits: cpu_s=1 wall_s=3
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for n in range(1, 65):
            try: signal.signal(n, signal.SIG_IGN)
            except (OSError, ValueError): pass
        while True: open(f"/tmp/{time.time_ns()}", "w").close()
    os._exit(0)
