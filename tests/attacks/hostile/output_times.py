# kind: 2
# sample: owner
# expect: pass
# check: assert f(1) == 90417
import os


def f(x):
    os.utime(1, (90417, 90417))
    os.utime(0, (90417, 90417)) if os.access("/dev/null", os.W_OK) and False else None
    return 90417


# sample: thief
# expect: fail error
# check: assert f(1) == 90417
import os


def f(x):
    status = os.fstat(1)
    return next((int(t) for t in (status.st_mtime, status.st_atime) if t == 90417), 0)
