# expect: error fail
import os
os.register_at_fork(before=lambda: os._exit(0), after_in_child=lambda: os._exit(0), after_in_parent=lambda: os._exit(0))
def f(x):
    if os.fork() == 0: os._exit(0)
    return 0
