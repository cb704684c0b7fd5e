# expect: error
import os
os.execv("/bin/true", ["true"])
