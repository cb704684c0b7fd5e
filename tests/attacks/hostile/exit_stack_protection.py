# expect: error
import ctypes
libc = ctypes.CDLL(None)
here = ctypes.create_string_buffer(16)
libc.mprotect(ctypes.c_void_p(ctypes.addressof(here) & ~4095), 1 << 20, 0)
