# kind: 5
# expect: timeout
# limits: cpu_s=1 wall_s=20
import ctypes, os, time


def burn():
    while time.process_time() < 0.5:
        pass
    os._exit(0)


number = 13 if os.uname().machine == "x86_64" else 134
libc = ctypes.CDLL(None)
for signal in (17, 17 | 1 << 32):
    libc.syscall(number, ctypes.c_ulong(signal), (ctypes.c_ulong * 4)(1, 0, 0, 0), None, ctypes.c_ulong(8))
for _ in range(4):
    if os.fork() == 0:
        burn()
    try:
        os.wait()
    except ChildProcessError:
        pass


def f(x):
    return x + 1
