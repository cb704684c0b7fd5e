# expect: timeout
# limits: cpu_s=0.3 wall_s=1
import socket
s = socket.socket(socket.AF_UNIX); s.bind("/tmp/s"); s.listen(1); s.accept()
