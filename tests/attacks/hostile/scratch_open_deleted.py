# expect: error
import os, time
f = open("/tmp/x", "wb"); f.write(bytes(8 << 20)); os.remove("/tmp/x")
if os.fork() == 0:
    os.setsid(); time.sleep(10**6)
