# expect: timeout memory
# limits: cpu_s=0.3 wall_s=1
import sys
sys.set_int_max_str_digits(0)
str(1 << (1 << 26))
