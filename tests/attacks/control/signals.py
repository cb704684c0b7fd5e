# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import signal
signal.signal(signal.SIGUSR1, lambda *a: None); signal.raise_signal(signal.SIGUSR1)
def f(x): return x + 1
