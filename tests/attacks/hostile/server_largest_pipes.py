# kind: 7
# expect: error memory timeout
# limits: cpu_s=2 wall_s=4
import fcntl, os, time
for _ in range(31):
    if os.fork() == 0:
        break
kept = []
try:
    while True:
        kept.append(os.pipe())
        reading, writing = kept[-1]
        os.set_blocking(writing, False)
        try:
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 1 << 20)
        except OSError:
            pass
        try:
            while True:
                os.write(writing, bytes(65536))
        except BlockingIOError:
            pass
except OSError:
    time.sleep(60)
