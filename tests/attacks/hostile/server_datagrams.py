# kind: 7
# expect: error memory timeout
# limits: cpu_s=2 wall_s=4
import os, socket, time
for _ in range(31):
    if os.fork() == 0:
        break
kept = []
try:
    while True:
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
        a.setblocking(False)
        kept += [a, b]
        try:
            while True:
                a.send(b"")
        except BlockingIOError:
            pass
except OSError:
    time.sleep(60)
