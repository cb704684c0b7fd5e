# expect: error
# limits: cpu_s=1 wall_s=3
import fcntl, os
fcntl.fcntl(1, fcntl.F_SETFL, os.O_APPEND | os.O_NONBLOCK | os.O_ASYNC)
