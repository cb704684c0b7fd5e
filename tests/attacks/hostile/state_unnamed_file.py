# expect: error
# denied: yes
# kind: 3
import os
try: print("ALLOWED", os.fstat(os.open("/tmp", os.O_TMPFILE | os.O_RDWR)).st_ino)
except OSError: print("DENIED")
