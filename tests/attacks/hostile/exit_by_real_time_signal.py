# expect: error
import os
os.kill(os.getpid(), 60)
