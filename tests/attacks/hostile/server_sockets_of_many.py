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
        for end in socket.socketpair():
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
            end.setblocking(False)
            kept.append(end)
            try:
                while True:
                    end.send(b"x" * 32768)
            except BlockingIOError:
                pass
except OSError:
    time.sleep(60)
