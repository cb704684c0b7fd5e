# expect: error
# denied: yes
import fcntl, os
try:
    fcntl.fcntl(1, fcntl.F_SETOWN, os.getpid())
    print("ALLOWED")
except OSError: print("DENIED")
