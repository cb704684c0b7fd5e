# expect: error
# denied: yes
# kind: 8
import os, sys
places = ["/cell", "/cell/sandbox", "/cell/sandbox/cell"]
places += [os.path.dirname(str(getattr(module, "__file__", ""))) for name, module in [*sys.modules.items()] if name.startswith("assay")]
seen = []
for place in filter(None, places):
    try: seen += [name for name in os.listdir(place) if name.endswith(".py")]
    except OSError: pass
print("ALLOWED" if seen else "DENIED", seen[:5])
