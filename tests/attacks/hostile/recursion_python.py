# expect: error timeout memory
# limits: cpu_s=2 wall_s=8
import sys
sys.setrecursionlimit(10**9)
def g(): return g()
g()
