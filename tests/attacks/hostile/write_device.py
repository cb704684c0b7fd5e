# expect: error
# denied: yes
import os
ok = 0
for m in (0o60666, 0o20666):
    try: os.mknod("/tmp/d", m, os.makedev(1, 1)); ok += 1
    except OSError: pass
print("ALLOWED" if ok else "DENIED")
