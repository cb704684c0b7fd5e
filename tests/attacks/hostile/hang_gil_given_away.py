# expect: timeout error
# limits: cpu_s=0.5 wall_s=2
# The lock is released twice; whoever wants it next waits for ever.
import ctypes, threading
threading.Thread(target=lambda: None).start()
ctypes.PyDLL(None).PyEval_SaveThread()
