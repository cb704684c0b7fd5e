# expect: error
# denied: yes
# kind: 8
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
seen = []
try: seen.append(os.getloadavg())
except OSError: pass
if libc.sysinfo(ctypes.create_string_buffer(512)) == 0: seen.append("sysinfo")
loads = (ctypes.c_double * 3)()
if libc.getloadavg(loads, 3) > 0: seen.append("getloadavg")
print("ALLOWED" if seen else "DENIED", seen)
