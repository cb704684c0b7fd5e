# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: from collections import defaultdict
# check: groups = group_by_length(["a", "bb", "cc", "d"])
# check: assert groups == {1: ["a", "d"], 2: ["bb", "cc"]}
# check: assert groups[7] == []
# check: assert isinstance(groups, defaultdict)
# check: assert groups.default_factory is list
# check: assert sorted(groups) == [1, 2, 7]
from collections import defaultdict
def group_by_length(words):
    groups = defaultdict(list)
    for word in words:
        groups[len(word)].append(word)
    return groups
