# expect: error
# denied: yes
# kind: 8
import os, shutil
seen = []
for place in ("/", "/tmp", os.path.dirname(os.__file__), "/dev/null", 0, 1, 2):
    for ask in (os.statvfs, shutil.disk_usage):
        try: seen.append((place, ask(place)))
        except (OSError, TypeError): pass
print("ALLOWED" if seen else "DENIED", seen)
