# expect: error memory timeout
# limits: cpu_s=2 wall_s=3
exec("@str\n" * 100_000 + "def g(): pass\n")
