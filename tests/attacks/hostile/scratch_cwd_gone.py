# expect: error
import os
os.mkdir("/tmp/d"); os.chdir("/tmp/d"); os.rmdir("/tmp/d")
os.getcwd()
