# expect: error timeout fail
# limits: cpu_s=1 wall_s=4
# Another thread throws exceptions into the main one, for ever.
import ctypes, threading, time
main = threading.get_ident()
def throw():
    while True: ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(main), ctypes.py_object(KeyboardInterrupt))
threading.Thread(target=throw, daemon=True).start()
def f(x): time.sleep(0.1); return 0
