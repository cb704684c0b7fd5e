# expect: error
import ctypes
ctypes.pythonapi.Py_FatalError(b"assert f(1) == 2: pass")
