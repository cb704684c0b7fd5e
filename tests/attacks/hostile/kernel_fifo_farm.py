# expect: error timeout memory
# limits: cpu_s=2 wall_s=3
import os
kept = []
for n in range(10**6):
    os.mkfifo(f"/tmp/fifo{n}")
    kept.append(os.open(f"/tmp/fifo{n}", os.O_RDWR | os.O_NONBLOCK))
    try:
        while True: os.write(kept[-1], bytes(65536))
    except BlockingIOError: pass
