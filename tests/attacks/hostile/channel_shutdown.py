# expect: error fail
# limits: cpu_s=1 wall_s=3
import socket
try: socket.socket(fileno=4).shutdown(2)
except OSError: pass
def f(x): return 1
