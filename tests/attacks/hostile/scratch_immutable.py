# expect: error
# Marks a file as immutable, so that nobody can remove it.
import array, fcntl, os
fd = os.open("/tmp/stays", os.O_CREAT | os.O_RDWR)
try: fcntl.ioctl(fd, 0x40086602, array.array("l", [0x10]))
except OSError: pass
os.fchmod(fd, 0)
