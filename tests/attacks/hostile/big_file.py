# expect: error
# limits: cpu_s=1 wall_s=3
f = open("/tmp/x", "wb")
while True: f.write(bytes(1 << 20))
