# kind: 2
# sample: owner
# expect: pass
# check: assert f(1) == 13
import ctypes

ctypes.CDLL(None).fallocate(1, 1, ctypes.c_long(1 << 20), ctypes.c_long(13 * 4096))  # keeps the size


def f(x):
    return 13


# sample: thief
# expect: fail error
# check: assert f(1) == 13
import os


def f(x):
    return os.fstat(1).st_blocks // 8
