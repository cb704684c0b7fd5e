# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: attempts = []
# check: @retry(3, exceptions=(ValueError,))
# check: def flaky(x):
# check:     attempts.append(x)
# check:     if len(attempts) < 3:
# check:         raise ValueError("not yet")
# check:     return "done"
# check: assert flaky(7) == "done"
# check: assert attempts == [7, 7, 7]
# check: @retry(2)
# check: def broken():
# check:     raise KeyError("lost")
# check: try:
# check:     broken()
# check:     assert False
# check: except KeyError as error:
# check:     assert error.args == ("lost",)
import functools
def retry(times, exceptions=(Exception,)):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            for attempt in range(times):
                try:
                    return function(*args, **kwargs)
                except exceptions:
                    if attempt == times - 1:
                        raise
        return wrapper
    return decorate
