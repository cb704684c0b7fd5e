# expect: error
# denied: yes
import os
os.symlink("/etc", "/tmp/e"); os.symlink("/proc/self/root", "/tmp/r")
ok = 0
for p in ("/tmp/e/passwd", "/tmp/r/etc/passwd"):
    try: open(p); ok += 1
    except OSError: pass
print("ALLOWED" if ok else "DENIED")
