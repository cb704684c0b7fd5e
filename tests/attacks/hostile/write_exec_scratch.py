# expect: error
# denied: yes
import os
open("/tmp/x", "w").write("#!/bin/sh\n"); os.chmod("/tmp/x", 0o777)
try:
    os.execv("/tmp/x", ["x"])
except OSError: print("DENIED")
