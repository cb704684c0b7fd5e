# expect: error timeout memory
# limits: cpu_s=2 wall_s=8
eval("lambda:" * 100_000 + "0")
