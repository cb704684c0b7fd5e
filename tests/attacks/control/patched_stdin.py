# expect: pass
# kind: 11
# limits: cpu_s=5 wall_s=30
# check: import io, sys
# check: sys.stdin = io.StringIO("1\n2\n\n39\n")
# check: assert sum_of_lines() == 42
# check: sys.stdin = io.StringIO("")
# check: assert sum_of_lines() == 0
import sys
def sum_of_lines():
    return sum(int(line) for line in sys.stdin if line.strip())
