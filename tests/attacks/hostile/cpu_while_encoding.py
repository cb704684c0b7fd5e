# expect: timeout error fail memory
# limits: cpu_s=0.5 wall_s=3
# Its answer takes no time to make, and all the time to read.
class Slow(list):
    def __iter__(self):
        while True: pass
    def __len__(self):
        while True: pass
def f(x):
    while True:
        for _ in Slow([1]): pass
