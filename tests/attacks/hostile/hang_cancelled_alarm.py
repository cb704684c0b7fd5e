# expect: timeout
# limits: cpu_s=0.3 wall_s=1
import signal
signal.alarm(0); signal.setitimer(signal.ITIMER_REAL, 0)
while True: pass
