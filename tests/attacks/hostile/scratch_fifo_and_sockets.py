# expect: error
import os, socket
for n in range(50):
    os.mkfifo(f"/tmp/fifo{n}", 0)
    socket.socket(socket.AF_UNIX).bind(f"/tmp/socket{n}")
    os.mkdir(f"/tmp/folder{n}", 0)
