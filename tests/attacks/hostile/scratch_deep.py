# expect: error timeout
# limits: cpu_s=2 wall_s=5
import os
os.chdir("/tmp")
for _ in range(3000): os.mkdir("d" * 20); os.chdir("d" * 20)
