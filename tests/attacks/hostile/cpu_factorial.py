# expect: timeout memory
# limits: cpu_s=0.3 wall_s=1
import math
math.factorial(10**8)
