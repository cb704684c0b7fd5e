# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
import os, struct, sys, threading
def look():
    while True:
        for frame in sys._current_frames().values():
            while frame:
                for value in list(frame.f_locals.values()):
                    if type(value) is bytes and len(value) == 16:
                        for fd in (3, 4, 5):
                            try: os.write(fd, struct.pack("!16sBII", value, 1, 1, 0))
                            except OSError: pass
                        os._exit(0)
                frame = frame.f_back
threading.Thread(target=look, daemon=True).start()
import time
def f(x): time.sleep(0.3); return 0
