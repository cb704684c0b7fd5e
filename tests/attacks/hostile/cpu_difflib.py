# expect: timeout
# limits: cpu_s=0.5 wall_s=3
import difflib
a = ["x", "y"] * 20000
difflib.SequenceMatcher(None, a, a[::-1] + a, autojunk=False).ratio()
