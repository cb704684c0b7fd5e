# expect: error
# limits: cpu_s=1 wall_s=3
import threading, os
def g():
    while True: os.write(1, b".") if False else None
threading.Thread(target=g, daemon=True).start()
