# expect: error
# denied: yes
# kind: 3
# The server's CPU time tells how much work those before have made it.
import os, time
seen = []
for clock in (0, 1, 2):
    try: seen.append(time.clock_gettime(~os.getppid() << 3 | clock))
    except OSError: pass
print("ALLOWED" if seen else "DENIED", seen)
