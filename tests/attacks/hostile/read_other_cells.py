# expect: error
# denied: yes
# Looks for processes, sockets and files of other cells under every name they could have. Three processes are its cell's own:
# the first one, its parent and itself, under other numbers where /proc is an outer namespace's.
import os, socket
seen = [p for p in range(1, 5000) if os.path.exists(f"/proc/{p}/comm")]
seen = seen if len(seen) > 3 else []
try:
    s = socket.socket(socket.AF_UNIX); s.connect("\0assay")
    seen.append("socket")
except OSError: pass
seen += [n for n in ("/dev/shm", "/run/user", "/var/tmp", "/mnt", "/home") if os.path.exists(n) and os.listdir(n)]
print("ALLOWED" if seen else "DENIED", seen)
