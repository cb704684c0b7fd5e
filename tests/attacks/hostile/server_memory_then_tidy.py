# kind: 7
# expect: error memory timeout output
# limits: cpu_s=2 wall_s=4
import os
for number in range(31):
    if os.fork() == 0:
        break
else:
    number = 31
try:
    for folder in range(100):  # all of the scratch folder, in as many files as it may have
        with open(f"/tmp/{number}-{folder}", "wb") as file:
            file.write(bytes(1 << 20))
except OSError:
    pass
kept = []
while True:
    kept.append(bytearray(1 << 20))
