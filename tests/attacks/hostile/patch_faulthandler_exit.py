# expect: error timeout
# limits: cpu_s=1 wall_s=4
import faulthandler, time
faulthandler.dump_traceback_later(0.2, repeat=False, exit=True)
time.sleep(3)
