# expect: error
# denied: yes
leaks = []
for path in ['/etc/shadow', '/etc/passwd', '/etc/sudoers']:
    try: leaks.append((path, open(path, "rb").read(10)))
    except OSError: pass
print("ALLOWED" if leaks else "DENIED", leaks)
