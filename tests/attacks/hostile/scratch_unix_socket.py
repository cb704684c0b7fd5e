# expect: error
import socket
s = socket.socket(socket.AF_UNIX); s.bind("/tmp/s"); s.listen()
a = socket.socket(socket.AF_UNIX); a.bind("\0abstract")
