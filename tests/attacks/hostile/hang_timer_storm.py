# expect: timeout
# limits: cpu_s=0.3 wall_s=1
import signal, time
signal.signal(signal.SIGALRM, lambda *a: None)
signal.setitimer(signal.ITIMER_REAL, 1e-5, 1e-5)
while True: time.sleep(0.1)
