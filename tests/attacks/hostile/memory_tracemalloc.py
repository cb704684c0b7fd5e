# expect: error memory timeout
# limits: cpu_s=3 wall_s=4
import tracemalloc
tracemalloc.start(1000)
def deep(n): return [object() for _ in range(100)] + deep(n - 1) if n else []
kept = []
while True: kept.append(deep(500))
