# expect: error
# limits: cpu_s=2 wall_s=5
# Takes references of None away until it is freed.
import ctypes
for _ in range(10**7): ctypes.pythonapi.Py_DecRef(ctypes.py_object(None))
