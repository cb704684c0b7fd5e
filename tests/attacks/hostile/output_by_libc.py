# expect: error output timeout
# limits: cpu_s=2 wall_s=4 output_bytes=100000
import ctypes
libc = ctypes.CDLL(None)
while True: libc.puts(b"y" * 4000)
