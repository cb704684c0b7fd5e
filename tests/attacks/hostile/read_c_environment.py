# expect: error
# denied: yes
import ctypes
libc = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_char_p
leaks = [k for k in (b"HF_TOKEN", b"AWS_SECRET_ACCESS_KEY", b"OPENAI_API_KEY", b"SSH_AUTH_SOCK", b"USER", b"PYTHONPATH") if libc.getenv(k)]
print("ALLOWED" if leaks else "DENIED", leaks)
