# expect: error
# denied: yes
import os
done = []
for path, text in (("/proc/sys/kernel/core_pattern", "|/tmp/x"), ("/proc/sysrq-trigger", "b"), ("/proc/sys/vm/drop_caches", "3"),
                   ("/proc/self/oom_score_adj", "-1000"), ("/proc/1/oom_score_adj", "1000"), ("/proc/self/uid_map", "0 0 1")):
    try: open(path, "w").write(text); done.append(path)
    except OSError: pass
print("ALLOWED" if done else "DENIED", done)
