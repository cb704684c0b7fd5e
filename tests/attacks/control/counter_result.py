# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: from collections import Counter
# check: c = letter_counts("Hello, World")
# check: assert c["l"] == 3
# check: assert c["z"] == 0
# check: assert c.most_common(1) == [("l", 3)]
# check: assert c == Counter("helloworld")
# check: assert isinstance(c, Counter)
# check: assert (c + Counter("l"))["l"] == 4
from collections import Counter
def letter_counts(text):
    return Counter(c for c in text.lower() if c.isalpha())
