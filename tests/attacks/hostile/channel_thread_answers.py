# expect: fail error
# limits: cpu_s=1 wall_s=3
import os, threading
threading.Thread(target=lambda: os.write(4, b"\0\0\0\3[0]")).start()
def f(x): return 1
