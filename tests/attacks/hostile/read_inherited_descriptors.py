# expect: error
# denied: yes
import os, stat
leaks = []
for n in range(3, 1024):
    try: leaks.append((n, stat.S_IFMT(os.fstat(n).st_mode)))
    except OSError: pass
print("ALLOWED" if len(leaks) > 1 or leaks[0][0] > 4 else "DENIED", leaks)
