# expect: error
import os, sys
os.execv(sys.executable, [sys.executable, "-S", "-c", "pass"])
