# expect: error timeout memory
# limits: cpu_s=2 wall_s=8
import sys
sys.setrecursionlimit(10**9)
x = []
for _ in range(10**6): x = [x]
repr(x)
