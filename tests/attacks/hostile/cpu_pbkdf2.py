# expect: timeout
# limits: cpu_s=0.5 wall_s=3
import hashlib
hashlib.pbkdf2_hmac("sha512", b"p", b"s", 2**31 - 1)
