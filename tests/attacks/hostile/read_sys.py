# expect: error
# denied: yes
leaks = []
for path in ['/sys/kernel/notes', '/sys/class/net/lo/address', '/sys/fs/cgroup/cgroup.procs', '/sys/devices/system/cpu/online']:
    try: leaks.append((path, open(path, "rb").read(10)))
    except OSError: pass
print("ALLOWED" if leaks else "DENIED", leaks)
