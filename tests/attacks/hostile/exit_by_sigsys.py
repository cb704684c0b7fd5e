# expect: error
import os, signal
os.kill(os.getpid(), signal.SIGSYS)
