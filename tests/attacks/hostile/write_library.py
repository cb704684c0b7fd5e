# expect: error
# denied: yes
import os
ok = 0
for f in (os.__file__, os.path.dirname(os.__file__) + "/json/__init__.py"):
    for g in (lambda: open(f, "a"), lambda: os.chmod(f, 0o777), lambda: os.remove(f), lambda: os.rename(f, f + "x"), lambda: os.utime(f), lambda: os.truncate(f, 0)):
        try: g(); ok += 1
        except OSError: pass
print("ALLOWED" if ok else "DENIED")
