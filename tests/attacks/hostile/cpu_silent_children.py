# kind: 5
# expect: timeout
# limits: cpu_s=1 wall_s=20
import ctypes, os, time


def burn():
    while time.process_time() < 0.5:
        pass
    os._exit(0)


number = 56 if os.uname().machine == "x86_64" else 220
libc = ctypes.CDLL(None)
zero = ctypes.c_ulong(0)
reading, writing = os.pipe()
for _ in range(4):  # their end sends no signal
    if libc.syscall(number, zero, zero, zero, zero, zero) == 0:
        burn()
os.close(writing)
os.read(reading, 1)  # until all of them have ended


def f(x):
    return x + 1
