# expect: error timeout memory
# limits: cpu_s=2 wall_s=3
import os
open("/tmp/one", "w").close()
n = 0
while True:
    os.link("/tmp/one", "/tmp/" + "%0200d" % n); n += 1
