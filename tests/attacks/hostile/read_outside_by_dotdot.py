# expect: error
# denied: yes
leaks = []
for path in ['../etc/passwd', '../../etc/passwd', '/tmp/../etc/passwd', '/old/etc/passwd', '/mnt/etc/passwd']:
    try: leaks.append((path, open(path, "rb").read(10)))
    except OSError: pass
print("ALLOWED" if leaks else "DENIED", leaks)
