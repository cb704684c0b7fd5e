# kind: 3
# sample: changes
# expect: error
import ctypes, locale, os, time
os.environ["TZ"] = "Asia/Tokyo"; time.tzset()
ctypes.CDLL(None).umask(0o777)
try: locale.setlocale(locale.LC_ALL, "C.UTF-8")
except locale.Error: pass
raise SystemExit(0)
# sample: looks
# expect: pass
import os, time
assert time.tzname[0] == "UTC", time.tzname
assert os.umask(0o22) & 0o700 == 0
def f(x): return x + 1
