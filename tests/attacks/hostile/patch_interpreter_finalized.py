# expect: error
import ctypes
ctypes.pythonapi.Py_FinalizeEx()
