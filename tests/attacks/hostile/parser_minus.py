# expect: error timeout memory
# limits: cpu_s=2 wall_s=8
import ast
ast.literal_eval("-" * 200_000 + "1")
