# expect: timeout
# limits: cpu_s=0.3 wall_s=1
import threading
def spin():
    while True: pass
for _ in range(8): threading.Thread(target=spin).start()
spin()
