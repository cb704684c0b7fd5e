# expect: error timeout memory
# limits: cpu_s=2 wall_s=8
compile("if x: pass\n" + "elif x: pass\n" * 100_000, "", "exec")
