# kind: 2
# sample: owner
# expect: pass
# check: assert f(1) == 3072
import fcntl, os

fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_NONBLOCK | os.O_APPEND)


def f(x):
    return 3072


# sample: thief
# expect: fail error
# check: assert f(1) == 3072
import fcntl, os


def f(x):
    return fcntl.fcntl(0, fcntl.F_GETFL) & (os.O_NONBLOCK | os.O_APPEND)
