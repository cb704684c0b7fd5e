# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
import linecache, sys
def f(x):
    frame = sys._getframe(1)
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    return eval(line.partition("==")[2]) if "==" in line else 0
