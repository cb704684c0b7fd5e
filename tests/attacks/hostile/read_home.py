# expect: error
# denied: yes
leaks = []
for path in ['/root/.bashrc', '/root/.ssh/id_rsa', '/home', '/root/.netrc', '/root/.cache/huggingface/token']:
    try: leaks.append((path, open(path, "rb").read(10)))
    except OSError: pass
print("ALLOWED" if leaks else "DENIED", leaks)
