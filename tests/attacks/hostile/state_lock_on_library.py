# expect: error
# denied: yes
# kind: 3
# A lock that one program holds on a shared library's file, another in the next cell would feel.
import fcntl, os
one, other = open(os.__file__), open(os.__file__)
fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
try:
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("DENIED")
except OSError: print("ALLOWED")
