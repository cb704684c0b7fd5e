# expect: fail error timeout memory output
# check: import os
# check: open('a.txt', 'w').write('x')
# check: f('a.txt')
# check: assert open('a.txt').read() == 'right'
# limits: cpu_s=2 wall_s=6
# kind: 11
# modes: split
import os
def f(p):
    os.unlink(p)
    os.symlink('/etc/hostname', p)
