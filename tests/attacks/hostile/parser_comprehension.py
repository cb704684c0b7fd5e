# expect: error timeout memory
# limits: cpu_s=2 wall_s=8
eval("[" + "x for x in (" * 2000 + ")" * 2000 + "]")
