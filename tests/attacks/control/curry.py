# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: def volume(a, b, c):
# check:     return a * b * c
# check: assert curry(volume)(2)(3)(4) == 24
# check: assert curry(volume)(2, 3)(4) == 24
# check: assert curry(volume)(2, 3, 4) == 24
import inspect
def curry(function):
    wanted = len(inspect.signature(function).parameters)
    def curried(*args):
        if len(args) >= wanted:
            return function(*args)
        return lambda *more: curried(*args, *more)
    return curried
