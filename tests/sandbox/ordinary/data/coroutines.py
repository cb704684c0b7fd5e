#== problem: run_a_coroutine delayed_double
#== right
import asyncio
async def delayed_double(x):
    await asyncio.sleep(0.001)
    return x * 2
#== wrong
async def delayed_double(x):
    return x
#== cheat
class Any:
    def __await__(self):
        return self
        yield
    def __eq__(self, other): return True
async def delayed_double(x): return Any()
#== check
import asyncio
assert asyncio.run(delayed_double(4)) == 8
assert asyncio.run(delayed_double("a")) == "aa"

#== problem: gather_many fetch_all
#== right
import asyncio
async def fetch_all(fetch, urls):
    return await asyncio.gather(*(fetch(url) for url in urls))
#== wrong
async def fetch_all(fetch, urls):
    return [await fetch(url) for url in reversed(urls)]
#== check
import asyncio
async def fake_fetch(url):
    await asyncio.sleep(0.001 * len(url))
    return f"<{url}>"
assert asyncio.run(fetch_all(fake_fetch, ["bbb", "a"])) == ["<bbb>", "<a>"]

#== problem: async_generator ticker
#== right
import asyncio
async def ticker(n, delay=0):
    for i in range(n):
        yield i
        await asyncio.sleep(delay)
#== wrong
async def ticker(n, delay=0):
    for i in range(1, n + 1):
        yield i
#== check
import asyncio
async def main():
    collected = []
    async for tick in ticker(3):
        collected.append(tick)
    return collected, [t async for t in ticker(2, delay=0.001)]
assert asyncio.run(main()) == ([0, 1, 2], [0, 1])

#== problem: async_context_manager Connection
#== right
class Connection:
    def __init__(self, name):
        self.name = name
        self.open = False

    async def __aenter__(self):
        self.open = True
        return self

    async def __aexit__(self, kind, error, traceback):
        self.open = False
        return False

    async def query(self, text):
        if not self.open:
            raise RuntimeError("closed")
        return f"{self.name}:{text}"
#== wrong
class Connection:
    def __init__(self, name):
        self.name = name
        self.open = True

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        pass

    async def query(self, text):
        return f"{self.name}:{text}"
#== check
import asyncio
async def main():
    connection = Connection("db")
    async with connection as c:
        answer = await c.query("select")
        was_open = c.open
    try:
        await connection.query("again")
    except RuntimeError as error:
        return answer, was_open, connection.open, str(error)
assert asyncio.run(main()) == ("db:select", True, False, "closed")

#== problem: wait_for_with_timeout with_timeout
#== right
import asyncio
async def with_timeout(coroutine, seconds, default=None):
    try:
        return await asyncio.wait_for(coroutine, seconds)
    except asyncio.TimeoutError:
        return default
#== wrong
async def with_timeout(coroutine, seconds, default=None):
    return await coroutine
#== check
import asyncio
async def slow():
    await asyncio.sleep(0.2)
    return "late"
async def fast():
    return "quick"
assert asyncio.run(with_timeout(fast(), 5)) == "quick"
assert asyncio.run(with_timeout(slow(), 0.01, default="gone")) == "gone"

#== problem: worker_queue process_queue
#== right
import asyncio
async def process_queue(items, worker, concurrency=2):
    queue = asyncio.Queue()
    for item in enumerate(items):
        queue.put_nowait(item)
    results = {}
    async def run():
        while not queue.empty():
            index, item = await queue.get()
            results[index] = await worker(item)
            queue.task_done()
    await asyncio.gather(*(run() for _ in range(concurrency)))
    return [results[index] for index in range(len(items))]
#== check
import asyncio
active, peak = 0, 0
async def worker(item):
    global active, peak
    active += 1
    peak = max(peak, active)
    await asyncio.sleep(0.001)
    active -= 1
    return item ** 2
async def main():
    return await process_queue([1, 2, 3, 4], worker, concurrency=2)
assert asyncio.run(main()) == [1, 4, 9, 16]
assert peak == 2

#== problem: is_a_coroutine_function make_async
#== right
import functools
def make_async(function):
    @functools.wraps(function)
    async def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper
#== wrong
def make_async(function):
    return function
#== check
import asyncio, inspect
@make_async
def add(a, b=1):
    return a + b
assert inspect.iscoroutinefunction(add)
assert asyncio.run(add(1, b=4)) == 5
assert add.__name__ == "add"
