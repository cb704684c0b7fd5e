# expect: error
import os
open("/tmp/x", "w").close()
try: os.chmod("/tmp/x", 0o6777)
except OSError: pass
raise SystemExit
