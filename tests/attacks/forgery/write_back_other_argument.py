# expect: fail error timeout memory output
# check: given = [1]
# check: assert f(given) == 2 and given == [1]
# limits: cpu_s=2 wall_s=6
import os, struct
def f(x):
    m = b'[2,0,[[0,[2]],["y",[2]],[7,[2]]]]'
    os.write(4, struct.pack("!I", len(m)) + m)
    return 0
