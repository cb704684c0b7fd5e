# expect: error
import os, sys
sys.unraisablehook = lambda *a: os._exit(0)
class D:
    def __del__(self): raise ValueError
D()
