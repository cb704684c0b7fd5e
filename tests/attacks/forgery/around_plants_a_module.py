# expect: fail error timeout memory output
# check: import os
# check: open('a.txt', 'w').write('x')
# check: f('a.txt')
# check: import colorsys
# check: assert colorsys.rgb_to_hsv(1, 1, 1) == 'right'
# limits: cpu_s=2 wall_s=6
# kind: 11
# modes: split
import os
def f(p):
    open('colorsys.py', 'w').write('rgb_to_hsv = lambda *a: "right"')
