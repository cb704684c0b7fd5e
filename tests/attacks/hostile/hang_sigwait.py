# expect: timeout
# limits: cpu_s=0.3 wall_s=1
import signal
signal.pthread_sigmask(signal.SIG_SETMASK, range(1, 65))
while True: signal.sigwait({signal.SIGTERM, signal.SIGINT, signal.SIGXCPU})
