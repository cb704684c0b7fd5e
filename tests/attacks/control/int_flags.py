# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: assert parse_permissions("rw-") == 6
# check: assert int(parse_permissions("r-x")) == 5
# check: assert parse_permissions("rwx") & 1
# check: assert not parse_permissions("---")
from enum import IntFlag
class Permission(IntFlag):
    READ = 4
    WRITE = 2
    EXECUTE = 1

def parse_permissions(text):
    result = Permission(0)
    for letter, flag in zip("rwx", (Permission.READ, Permission.WRITE, Permission.EXECUTE)):
        if letter in text:
            result |= flag
    return result
