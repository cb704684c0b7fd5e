# expect: error fail timeout
# limits: cpu_s=1 wall_s=3
import builtins, sys, threading
builtins.__build_class__ = lambda *a, **k: exit(0)
sys.excepthook = threading.excepthook = sys.unraisablehook = lambda *a: exit(0)
def f(x):
    class X: pass
