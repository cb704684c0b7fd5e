# expect: error timeout memory
# limits: cpu_s=2 wall_s=3
# One record in the kernel for every other byte of a file.
import fcntl, os
fd = os.open("/tmp/l", os.O_CREAT | os.O_RDWR)
n = 0
while True:
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 2 * n)
    n += 1
