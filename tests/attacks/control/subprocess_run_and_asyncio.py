# kind: 5
# expect: pass
# limits: cpu_s=10 wall_s=30
# check: assert f(3) == [0, 1, 2, b"async"]
import asyncio, subprocess, sys


async def spawn():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-S", "-c", "print('async', end='')", stdout=asyncio.subprocess.PIPE
    )
    return (await process.communicate())[0]


def f(n):
    codes = [subprocess.run([sys.executable, "-S", "-c", f"raise SystemExit({k})"]).returncode for k in range(n)]
    return [*codes, asyncio.run(spawn())]
