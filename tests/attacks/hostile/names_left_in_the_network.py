# kind: 3
# rounds: 2
# sample: leaves
# expect: error
# limits: cpu_s=1 wall_s=3
import os, socket, time
s = socket.socket(socket.AF_UNIX); s.bind("\0answer"); s.listen(5)
if os.fork() == 0:
    os.setsid()
    while True:
        peer, _ = s.accept(); peer.send(b"2"); peer.close()
raise SystemExit(0)
# sample: takes
# expect: fail error
# repeat: 2
import socket
def f(x):
    try:
        s = socket.socket(socket.AF_UNIX); s.connect("\0answer"); return int(s.recv(1))
    except OSError: return 0
