# expect: error timeout
# limits: cpu_s=1 wall_s=2
import os, signal
signal.signal(15, signal.SIG_IGN)
os.kill(-1, 15)
