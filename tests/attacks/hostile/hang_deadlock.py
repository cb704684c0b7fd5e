# expect: timeout
# limits: cpu_s=0.3 wall_s=1
import threading
lock = threading.Lock()
lock.acquire()
lock.acquire()
