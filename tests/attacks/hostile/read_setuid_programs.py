# expect: error
# denied: yes
import os
ok = [p for p in ("/usr/bin/su", "/bin/su", "/usr/bin/sudo", "/usr/bin/passwd", "/bin/mount") if os.path.exists(p) and os.access(p, os.X_OK) and os.geteuid() == 0]
print("ALLOWED" if ok else "DENIED", ok)
