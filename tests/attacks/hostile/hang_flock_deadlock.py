# expect: error
# limits: cpu_s=0.3 wall_s=1
import fcntl, os
a = open("/tmp/l", "w"); b = open("/tmp/l", "w")
fcntl.flock(a, fcntl.LOCK_EX)
fcntl.flock(b, fcntl.LOCK_EX)
