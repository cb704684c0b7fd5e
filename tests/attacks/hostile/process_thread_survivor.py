# expect: error
# limits: cpu_s=1 wall_s=3
import threading, time
for _ in range(10): threading.Thread(target=time.sleep, args=(100,)).start()
