# expect: memory error timeout
# limits: cpu_s=2 wall_s=4
import resource
try: resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
except (OSError, ValueError): pass
x = bytearray(6 << 30)
