# expect: timeout
# limits: cpu_s=0.3 wall_s=1
import signal
signal.signal(signal.SIGXCPU, lambda *a: None)
while True: pass
