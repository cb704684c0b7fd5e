# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: calls = 0
# check: @memoize
# check: def square(x):
# check:     """Return the square."""
# check:     global calls
# check:     calls += 1
# check:     return x * x
# check: assert square(4) == 16
# check: assert square(4) == 16
# check: assert calls == 1
# check: assert square.__name__ == "square"
# check: assert square.__doc__ == "Return the square."
# check: assert square.cache == {(4,): 16}
import functools
def memoize(function):
    cache = {}
    @functools.wraps(function)
    def wrapper(*args):
        if args not in cache:
            cache[args] = function(*args)
        return cache[args]
    wrapper.cache = cache
    return wrapper
