# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: cache = LRUCache(2)
# check: cache.put(1, 1)
# check: cache.put(2, 2)
# check: assert cache.get(1) == 1
# check: cache.put(3, 3)
# check: assert cache.get(2) == -1
# check: assert cache.get(1) == 1
# check: assert cache.get(3) == 3
# check: assert list(cache.data) == [1, 3]
from collections import OrderedDict
class LRUCache:
    def __init__(self, capacity):
        self.capacity = capacity
        self.data = OrderedDict()

    def get(self, key):
        if key not in self.data:
            return -1
        self.data.move_to_end(key)
        return self.data[key]

    def put(self, key, value):
        self.data[key] = value
        self.data.move_to_end(key)
        if len(self.data) > self.capacity:
            self.data.popitem(last=False)
