# kind: 7
# expect: error memory timeout
# limits: cpu_s=2 wall_s=4
import os, signal
for _ in range(30):
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        kept = []
        try:
            while True:
                kept.append(bytearray(1 << 22))
        except MemoryError:
            while True:
                pass
for number in range(1, 65):
    try:
        os.kill(1, number)
    except (OSError, ValueError):
        pass
os._exit(0)
