# expect: error timeout
# limits: cpu_s=1 wall_s=2
import os, signal
try: signal.pidfd_send_signal(os.pidfd_open(1), 9)
except OSError: pass
