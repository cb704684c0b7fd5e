# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import socket
a, b = socket.socketpair(); a.send(b"x"); assert b.recv(1) == b"x"
def f(x): return x + 1
