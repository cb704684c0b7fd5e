# expect: error memory timeout
# limits: cpu_s=2 wall_s=4
import fcntl, os
x = []
while True:
    r, w = os.pipe(); os.set_blocking(w, False); x.append((r, w))
    try:
        while True: os.write(w, b"x" * 4096)
    except BlockingIOError: pass
