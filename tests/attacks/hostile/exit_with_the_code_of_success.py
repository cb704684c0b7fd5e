# expect: error fail
# The main thread ends by itself, without running what would follow.
import ctypes
ctypes.CDLL(None).pthread_exit(None)
