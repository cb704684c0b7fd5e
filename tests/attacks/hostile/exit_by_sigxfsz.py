# expect: error
# limits: cpu_s=1 wall_s=3
import os, resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
os.write(os.open("/tmp/x", os.O_CREAT | os.O_WRONLY), bytes(100))
os.write(os.open("/tmp/x", os.O_WRONLY | os.O_APPEND), bytes(100))
