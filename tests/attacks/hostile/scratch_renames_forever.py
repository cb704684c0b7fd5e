# expect: timeout error
# limits: cpu_s=0.5 wall_s=3
# What is cleaned moves on while it is cleaned.
import os
os.makedirs("/tmp/a/b/c")
if os.fork() == 0: os.setsid()
while True:
    for one, two in (("/tmp/a", "/tmp/z"), ("/tmp/z", "/tmp/a")):
        try: os.rename(one, two)
        except OSError: pass
