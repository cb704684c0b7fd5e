# expect: error fail
# limits: cpu_s=1 wall_s=3
import array, socket
try:
    s = socket.socket(fileno=4)
    for _ in range(50): s.sendmsg([b"\0\0\0\3[0]"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [1]))])
    s.detach()
except OSError: pass
def f(x): return 1
