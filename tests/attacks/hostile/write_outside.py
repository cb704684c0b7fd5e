# expect: error
# denied: yes
import os
ok = []
for p in ("/x", "/usr/x", "/etc/x", "/dev/x", "/lib/x", "/dev/shm/x", "/var/tmp/x", os.path.dirname(os.__file__) + "/x.py"):
    try: open(p, "w").write("x"); ok.append(p)
    except OSError: pass
print("ALLOWED" if ok else "DENIED", ok)
