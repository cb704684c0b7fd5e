# expect: error
# limits: cpu_s=2 wall_s=6
import atexit
atexit.register(lambda: [None for _ in iter(int, 1)])
raise SystemExit
