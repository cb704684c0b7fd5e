# expect: error
# denied: yes
import os
try:
    os.link(os.__file__, "/tmp/link"); print("ALLOWED")
except OSError: print("DENIED")
