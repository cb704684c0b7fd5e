# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: import asyncio
# check: async def main():
# check:     connection = Connection("db")
# check:     async with connection as c:
# check:         answer = await c.query("select")
# check:         was_open = c.open
# check:     try:
# check:         await connection.query("again")
# check:     except RuntimeError as error:
# check:         return answer, was_open, connection.open, str(error)
# check: assert asyncio.run(main()) == ("db:select", True, False, "closed")
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
