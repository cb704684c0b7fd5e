# expect: memory error timeout
# limits: cpu_s=2 wall_s=4
import itertools
x = list(itertools.product(range(100), repeat=20))
