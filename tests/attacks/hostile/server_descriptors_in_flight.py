# kind: 7
# expect: error memory timeout
# limits: cpu_s=2 wall_s=4
import os, socket, time
for _ in range(31):
    if os.fork() == 0:
        break
a, b = socket.socketpair()
a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
a.setblocking(False)
try:
    while True:  # a socket that holds itself, many times over
        socket.send_fds(a, [b"x"], [a.fileno(), b.fileno()] * 100)
except OSError:
    pass
os._exit(0) if os.getpid() % 2 else time.sleep(60)
