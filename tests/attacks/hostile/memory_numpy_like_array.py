# expect: memory error timeout
# limits: cpu_s=2 wall_s=4
import array
x = array.array("d", [0.0]) * (1 << 31)
