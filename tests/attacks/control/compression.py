# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import bz2, gzip, lzma, zlib
assert gzip.decompress(gzip.compress(b"x")) == b"x"
def f(x): return x + 1
