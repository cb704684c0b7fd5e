# expect: timeout error
# limits: cpu_s=0.3 wall_s=1
import os, threading
def g():
    while True:
        try: os.fork()
        except OSError: pass
for _ in range(4): threading.Thread(target=g).start()
g()
