# expect: error
# denied: yes
import os, site, sys
done = []
for folder in {*sys.path, *site.getsitepackages(), site.getusersitepackages(), "/", "/etc", "/root", "/usr"} - {"", "/tmp"}:
    if not folder.startswith("/") or folder.startswith("/tmp"): continue
    try:
        os.makedirs(folder, exist_ok=True)
        open(os.path.join(folder, "sitecustomize.py"), "w").write("1"); done.append(folder)
    except OSError: pass
print("ALLOWED" if done else "DENIED", done)
