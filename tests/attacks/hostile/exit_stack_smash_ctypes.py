# expect: error
import ctypes
ctypes.memset(ctypes.addressof(ctypes.c_int(0)), 0, 1 << 22)
