# expect: memory error timeout
# limits: cpu_s=2 wall_s=4
import zlib
x = zlib.compress(bytes(1 << 26), 9)
y = [zlib.decompress(x) for _ in range(10**6)]
