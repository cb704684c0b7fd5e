# expect: error
# denied: yes
leaks = []
for path in ['/dev/mem', '/dev/kmsg', '/dev/vda', '/dev/sda', '/dev/tty', '/dev/fuse', '/dev/kvm', '/dev/shm/x']:
    try: leaks.append((path, open(path, "rb").read(10)))
    except OSError: pass
print("ALLOWED" if leaks else "DENIED", leaks)
