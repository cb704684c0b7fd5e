"""The yardstick: fork, compile, exec, wait; two in flight; no isolation, no limits, no output, no verdict to guard.

Run by `benchmarks/sandbox.py` as `python -S -s -P sandbox_bare.py PROGRAMS.json MODULE…`: the interpreter and the
preloaded modules are the cell's. Programs are sources that pass when they raise nothing.
"""

import importlib
import json
import os
import resource
import sys
import time


def start(source: str, null: int) -> None:
    if os.fork() == 0:
        try:
            os.dup2(null, 1)
            os.dup2(null, 2)
            exec(compile(source, "program", "exec"), {"__name__": "candidate"})
            os._exit(0)
        finally:
            os._exit(1)


def main() -> None:
    for name in sys.argv[2:]:
        importlib.import_module(name)
    with open(sys.argv[1]) as file:
        programs = json.load(file)
    null = os.open("/dev/null", os.O_WRONLY)
    passed = running = 0
    began = time.perf_counter()
    for source in programs:
        if running == 2:
            passed += os.wait()[1] == 0
            running -= 1
        start(source, null)
        running += 1
    while running:
        passed += os.wait()[1] == 0
        running -= 1
    seconds = time.perf_counter() - began
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(used.ru_utime + used.ru_stime for used in usage)
    print(json.dumps({"passed": passed, "seconds": seconds, "cpu_s": cpu_s}))


main()
