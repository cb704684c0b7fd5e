# expect: memory error timeout
# limits: cpu_s=2 wall_s=4
import threading, time
for _ in range(10**4): threading.Thread(target=time.sleep, args=(9,)).start()
