# expect: error
# denied: yes
# kind: 3
import socket
with socket.socket(socket.AF_UNIX) as one:
    try: print("ALLOWED", one.getsockopt(socket.SOL_SOCKET, 57, 8))
    except OSError as error: print("DENIED" if error.errno == 1 else "DENIED by the kernel")
