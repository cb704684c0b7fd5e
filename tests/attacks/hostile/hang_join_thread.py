# expect: timeout
# limits: cpu_s=0.3 wall_s=1
import threading
threading.Thread(target=threading.Event().wait).start()
threading.Event().wait()
