# expect: fail error timeout memory output
# check: import asyncio
# check: async def t():
# check:     async with f() as x:
# check:         assert x == 5
# check: asyncio.run(t())
# limits: cpu_s=2 wall_s=6
# kind: 10
# modes: split
class C:
    async def __aenter__(self): return 3
    async def __aexit__(self, *given): return True
def f(): return C()
