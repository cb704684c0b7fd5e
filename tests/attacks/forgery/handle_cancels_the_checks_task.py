# expect: fail error timeout memory output
# check: import asyncio
# check: async def one(x): assert await f(x) == x + 1
# check: async def t():
# check:     async with asyncio.TaskGroup() as group:
# check:         for x in range(3): group.create_task(one(x))
# check: asyncio.run(t())
# limits: cpu_s=2 wall_s=6
# kind: 10
# modes: split
import asyncio
async def f(x): raise asyncio.CancelledError
