# expect: error
# denied: yes
leaks = []
for path in ['/proc/1/environ', '/proc/1/mem', '/proc/self/mem', '/proc/self/environ', '/proc/1/maps', '/proc/cmdline', '/proc/self/status', '/proc/1/root/etc/passwd', '/proc/sys/kernel/hostname', '/proc/kcore']:
    try: leaks.append((path, open(path, "rb").read(10)))
    except OSError: pass
print("ALLOWED" if leaks else "DENIED", leaks)
