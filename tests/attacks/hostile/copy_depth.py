# expect: error timeout memory
# limits: cpu_s=2 wall_s=8
import copy, sys
sys.setrecursionlimit(10**8)
x = []
for _ in range(10**6): x = [x]
copy.deepcopy(x)
