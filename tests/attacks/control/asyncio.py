# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
import asyncio
async def g():
    await asyncio.sleep(0.01)
    return await asyncio.gather(*(asyncio.sleep(0, n) for n in range(5)))
assert asyncio.run(g()) == [0, 1, 2, 3, 4]
def f(x): return x + 1
