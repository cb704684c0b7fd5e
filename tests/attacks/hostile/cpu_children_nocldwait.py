# kind: 5
# expect: timeout
# limits: cpu_s=1 wall_s=20
import ctypes, os, time


def burn():
    while time.process_time() < 0.5:
        pass
    os._exit(0)


class Action(ctypes.Structure):
    _fields_ = [
        ("handler", ctypes.c_void_p), ("mask", ctypes.c_ulong * 16), ("flags", ctypes.c_int), ("restorer", ctypes.c_void_p)
    ]


ctypes.CDLL(None).sigaction(17, ctypes.byref(Action(flags=2)), None)
for _ in range(4):
    if os.fork() == 0:
        burn()
    try:
        os.wait()
    except ChildProcessError:
        pass


def f(x):
    return x + 1
