# expect: error
# denied: yes
# Writes into the interpreter's own files.
import os, sys
opened = []
for module in list(sys.modules.values()):
    name = getattr(module, "__file__", None)
    for path in filter(None, (name, getattr(module, "__cached__", None), sys.executable)):
        try: opened.append((path, os.open(path, os.O_WRONLY)))
        except OSError: pass
print("ALLOWED" if opened else "DENIED", opened[:3])
