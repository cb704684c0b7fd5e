# expect: error timeout memory
# limits: cpu_s=2 wall_s=3
# Fills the kernel's queue of pending signals with ones that are never delivered.
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, range(34, 65))
sent = 0
while sent < 10**7:
    os.kill(os.getpid(), 34 + sent % 30)
    sent += 1
