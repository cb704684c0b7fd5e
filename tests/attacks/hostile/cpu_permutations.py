# expect: timeout
# limits: cpu_s=0.5 wall_s=3
import collections, itertools
collections.deque(itertools.permutations(range(20)), maxlen=0)
