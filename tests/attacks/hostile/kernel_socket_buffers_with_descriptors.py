# expect: error timeout memory
# limits: cpu_s=2 wall_s=3
# Sockets in flight inside sockets, closed here: only the kernel's collector can find them.
import array, socket
while True:
    a, b = socket.socketpair()
    a.setblocking(False)
    try:
        for _ in range(50): a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [a.fileno(), b.fileno()]))])
    except OSError: pass
    a.close(); b.close()
