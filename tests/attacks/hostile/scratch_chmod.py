# expect: error
import os
os.makedirs("/tmp/a/b/c"); open("/tmp/a/b/c/f", "w").close(); os.chmod("/tmp/a/b", 0); os.chmod("/tmp/a", 0)
try: os.chmod("/tmp", 0)
except OSError: pass
