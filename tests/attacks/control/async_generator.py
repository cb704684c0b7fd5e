# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: import asyncio
# check: async def main():
# check:     collected = []
# check:     async for tick in ticker(3):
# check:         collected.append(tick)
# check:     return collected, [t async for t in ticker(2, delay=0.001)]
# check: assert asyncio.run(main()) == ([0, 1, 2], [0, 1])
import asyncio
async def ticker(n, delay=0):
    for i in range(n):
        yield i
        await asyncio.sleep(delay)
