# expect: fail error timeout
# limits: cpu_s=1 wall_s=3
# Sends answers before it was asked, on every descriptor it has.
import json, os, struct
for fd in range(64):
    for body in ([2, 2, []], [0], ["f", [1], {}]):
        data = json.dumps(body).encode()
        try: os.write(fd, struct.pack("!I", len(data)) + data)
        except OSError: pass
def f(x): return 0
