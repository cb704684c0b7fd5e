# expect: timeout
# limits: cpu_s=0.5 wall_s=4
import lzma, os
data = os.urandom(1 << 16) * 64
while True: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)
