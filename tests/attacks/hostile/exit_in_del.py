# expect: error
import os
class D:
    def __del__(self): os._exit(0)
d = D()
del d
