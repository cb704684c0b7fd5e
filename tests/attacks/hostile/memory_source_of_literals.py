# expect: error memory timeout
# limits: cpu_s=3 wall_s=4
# The compiler's own memory.
exec("x = [" + ",".join(f"({n}, '{n}', {n}.5)" for n in range(2_000_000)) + "]")
