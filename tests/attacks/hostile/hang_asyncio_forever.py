# expect: timeout
# limits: cpu_s=0.3 wall_s=1
import asyncio
asyncio.run(asyncio.sleep(10**6))
