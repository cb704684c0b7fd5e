# expect: timeout
# limits: cpu_s=0.3 wall_s=1
import resource
try: resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY,) * 2)
except (OSError, ValueError): pass
while True: pass
