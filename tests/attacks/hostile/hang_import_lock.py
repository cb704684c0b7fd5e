# expect: timeout error
# limits: cpu_s=0.5 wall_s=2
import _imp, threading
_imp.acquire_lock()
t = threading.Thread(target=lambda: __import__("colorsys")); t.start(); t.join()
