# expect: error
# denied: yes
# kind: 3
import os
file = os.open(os.__file__, os.O_RDONLY)
try: print("ALLOWED", os.preadv(file, [bytearray(16)], 0, os.RWF_NOWAIT))
except OSError as error: print("ALLOWED: not in memory" if error.errno == 11 else "DENIED")
