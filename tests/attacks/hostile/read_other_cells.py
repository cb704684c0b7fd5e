# expect: error
# denied: yes
# Looks for processes, sockets and files of other cells under every name they could have.
import os, socket
seen = [p for p in range(1, 5000) if p not in (os.getpid(), os.getppid()) and os.path.exists(f"/proc/{p}/comm")]
try:
    s = socket.socket(socket.AF_UNIX); s.connect("\0assay")
    seen.append("socket")
except OSError: pass
seen += [n for n in ("/dev/shm", "/run/user", "/var/tmp", "/mnt", "/home") if os.path.exists(n) and os.listdir(n)]
print("ALLOWED" if seen else "DENIED", seen)
