# expect: pass
# kind: 11
# modes: shared
# limits: cpu_s=5 wall_s=30
# check: from unittest.mock import call, patch
# check: answers = iter([False, False, True])
# check: with patch("time.sleep") as sleep:
# check:     assert poll(lambda: next(answers), 5) == 2
# check: assert sleep.call_args_list == [call(1), call(2)]
import time
def poll(ready, tries):
    for attempt in range(tries):
        if ready():
            return attempt
        time.sleep(2 ** attempt)
    return -1
