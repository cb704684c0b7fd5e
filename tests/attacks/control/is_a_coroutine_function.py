# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: import asyncio, inspect
# check: @make_async
# check: def add(a, b=1):
# check:     return a + b
# check: assert inspect.iscoroutinefunction(add)
# check: assert asyncio.run(add(1, b=4)) == 5
# check: assert add.__name__ == "add"
import functools
def make_async(function):
    @functools.wraps(function)
    async def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper
