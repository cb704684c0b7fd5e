# expect: memory error timeout
# limits: cpu_s=2 wall_s=4
import re
re.compile("(" + "|".join("a" * n for n in range(1, 20000)) + ")")
