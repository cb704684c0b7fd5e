# expect: error
import ctypes, platform
if platform.machine() == "x86_64": ctypes.CDLL(None).syscall(0x40000000 + 39)
raise SystemExit
