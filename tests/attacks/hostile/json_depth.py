# expect: error timeout memory
# limits: cpu_s=2 wall_s=8
import json
json.loads("[" * 10**6)
