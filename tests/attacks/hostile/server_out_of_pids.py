# kind: 7
# expect: error timeout memory
# limits: cpu_s=2 wall_s=4
import os, threading, time
def more():
    while True:
        try:
            if os.fork() == 0:
                more()
        except OSError:
            time.sleep(0.001)
threading.Thread(target=more).start()
while True:
    try:
        threading.Thread(target=time.sleep, args=(60,)).start()
    except RuntimeError:
        pass
