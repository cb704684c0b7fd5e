# expect: error timeout
# limits: cpu_s=1 wall_s=2
import os, signal
os.killpg(os.getpgrp(), signal.SIGCONT); os.killpg(os.getpgrp(), 9)
