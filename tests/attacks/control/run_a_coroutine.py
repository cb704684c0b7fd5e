# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: import asyncio
# check: assert asyncio.run(delayed_double(4)) == 8
# check: assert asyncio.run(delayed_double("a")) == "aa"
import asyncio
async def delayed_double(x):
    await asyncio.sleep(0.001)
    return x * 2
