# expect: error timeout memory
# limits: cpu_s=2 wall_s=8
compile("not " * 500_000 + "x", "", "eval")
