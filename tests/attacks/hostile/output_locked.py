# expect: error
# limits: cpu_s=1 wall_s=3
import fcntl
fcntl.flock(1, fcntl.LOCK_EX)
fcntl.lockf(1, fcntl.LOCK_EX)
