# expect: error
# denied: yes
leaks = []
for path in ['/run/docker.sock', '/var/run/docker.sock', '/var/log/dpkg.log', '/var/lib/dpkg/status']:
    try: leaks.append((path, open(path, "rb").read(10)))
    except OSError: pass
print("ALLOWED" if leaks else "DENIED", leaks)
