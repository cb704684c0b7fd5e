# expect: error memory timeout
# limits: cpu_s=2 wall_s=3
source = "".join(" " * n + f"match {n}:\n" + " " * (n + 1) + "case _:\n" for n in range(0, 196, 2))
exec(source + " " * 200 + "pass")
