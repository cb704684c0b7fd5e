# expect: error
# limits: cpu_s=2 wall_s=6
import struct
struct.Struct = struct.pack = struct.unpack = None
