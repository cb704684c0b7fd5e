# expect: timeout
# limits: cpu_s=0.5 wall_s=2
# A C function called without the interpreter's lock being given back.
import ctypes
ctypes.PyDLL(None).pause()
