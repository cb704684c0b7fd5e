# expect: error
# denied: yes
import fcntl, os
try:
    fcntl.fcntl(os.open("/tmp/x", os.O_CREAT | os.O_RDWR), fcntl.F_SETLEASE, fcntl.F_WRLCK)
    print("ALLOWED")
except OSError: print("DENIED")
