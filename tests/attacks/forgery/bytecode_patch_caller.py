# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
import ctypes, sys
def f(x):
    code = sys._getframe(1).f_code
    raw = (ctypes.c_char * len(code.co_code)).from_address(id(code) + code.__sizeof__() - len(code.co_code))
    for i in range(0, len(raw) - 1, 2): raw[i] = b"\x09"
    return 0
