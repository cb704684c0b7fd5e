# expect: timeout memory
# limits: cpu_s=0.3 wall_s=1
import random
sorted(range(10**9), key=lambda n: -n)
