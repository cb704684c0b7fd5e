# expect: error
# denied: yes
# A poisoned cache of compiled modules would run in every later sample.
import os, py_compile, sys
open("/tmp/colorsys.py", "w").write("raise SystemExit(0)\n")
done = []
for folder in [p for p in sys.path if p] + ["/usr/lib/python3", "/usr/local/lib"]:
    try: done.append(py_compile.compile("/tmp/colorsys.py", os.path.join(folder, "__pycache__", "colorsys.pyc"), doraise=True))
    except OSError: pass
print("ALLOWED" if [d for d in done if not d.startswith("/tmp")] else "DENIED", done)
