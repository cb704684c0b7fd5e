# expect: error
# limits: cpu_s=2 wall_s=6
import sys
sys.setrecursionlimit(50)
