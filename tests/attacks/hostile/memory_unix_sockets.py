# expect: error memory timeout
# limits: cpu_s=2 wall_s=4
import socket
x = []
while True:
    a, b = socket.socketpair(); a.setblocking(False); x.append((a, b))
    try:
        while True: a.send(b"x" * 65536)
    except BlockingIOError: pass
