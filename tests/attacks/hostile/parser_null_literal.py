# expect: error memory
# limits: cpu_s=2 wall_s=3
import ast
ast.literal_eval("[" * 50_000 + "]" * 50_000)
compile("x" + ".x" * 100_000, "", "exec")
