# kind: 2
# sample: owner
# expect: pass
# check: assert f(1) == 2
import fcntl

fcntl.flock(0, fcntl.LOCK_EX)


def f(x):
    return x + 1


# sample: thief
# expect: fail error
# check: assert f(1) == 2
import fcntl


def f(x):
    try:
        fcntl.flock(open("/dev/null"), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return 2
    return 0
