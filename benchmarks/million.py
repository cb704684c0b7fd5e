"""A million samples through reading, cache, results and scores: `python -m benchmarks.million [--samples N]`.

Nothing is executed: a stand-in for the sandbox answers at once, so that memory and time are those of everything
around it. The same file is judged twice, first with an empty verdict cache and then with a full one, each time in a
process of its own, whose peak resident memory is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.harness.evaluation.judge import CacheUse
from assay.harness.evaluation.samples_file import Options, evaluate_file
from assay.harness.evaluation.scores import scores
from assay.harness.experiment import SandboxTable
from assay.sandbox import Outcome, Program, StandIn, Verdict
from assay.suites import load_suite

PER_PROBLEM = 100
K = (1, 10, 100)


def judge_by_text(program: Program) -> Verdict:
    """Return a verdict that depends on the program's text alone."""
    kind = zlib.crc32(program.candidate.encode()) % 10
    outcome = Outcome.PASS if kind < 4 else Outcome.FAIL
    return Verdict(program.id, outcome, "" if kind < 4 else "AssertionError (line 3)", cpu_s=0.001)


def make(folder: Path, samples: int) -> None:
    problems = samples // PER_PROBLEM
    with (folder / "suite.jsonl").open("w") as file:
        for i in range(problems):
            prompt = f'def f{i}(x):\n    """Return x plus {i}."""\n'
            check = f"assert f{i}(1) == {i + 1}"
            row = {"id": f"m/{i}", "prompt": prompt, "entry_point": f"f{i}", "checks": [check]}
            file.write(json.dumps(row) + "\n")
    with (folder / "samples.jsonl").open("w") as file:
        for i in range(samples):
            body = (
                f"    # try {i // problems}\n    y = x + {i % problems}\n"
                + "    # as asked\n" * 20
                + "    return y\n"
            )
            file.write(json.dumps({"task_id": f"m/{i % problems}", "completion": body}) + "\n")


def judge(folder: Path) -> None:
    """Runs in a process of its own and prints one JSON object."""

    @contextmanager
    def stand_in(*_: object, **__: object) -> Iterator[StandIn]:
        yield StandIn(judge_by_text)

    import assay.harness.evaluation.judge
    import assay.sandbox.host.cache

    assay.harness.evaluation.judge.open_sandbox = stand_in  # type: ignore[assignment]
    assay.sandbox.host.cache.sandbox_version = lambda: "stand-in"  # type: ignore[assignment]
    suite = load_suite("jsonl", path=folder / "suite.jsonl")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    options = Options(cache=CacheUse(path=folder / "verdicts.sqlite"))
    found = evaluate_file(suite, folder / "samples.jsonl", SandboxTable(), options)
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    scores(found.tally, K, "")
    print(
        json.dumps(
            {
                "samples": found.tally.n_samples,
                "cached": found.cached,
                "seconds": round(seconds, 1),
                "score_s": round(time.perf_counter() - began, 3),
                "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1),
                "before_mb": round(before * 1024 / 1e6, 1),
                "pass@k": {str(k): round(e.value, 4) for k, e in found.scores.items()},
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--judge", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.judge:
        judge(arguments.judge)
        return
    with tempfile.TemporaryDirectory() as name:
        make(Path(name), arguments.samples)
        print(f"{arguments.samples:,} samples; load {os.getloadavg()}")
        print("| cache | samples | looked up | seconds | peak RSS | pass@1,10,100 of all problems |")
        print("|---|---|---|---|---|---|")
        for what in ("empty", "full"):
            command = [sys.executable, "-m", "benchmarks.million", "--judge", name]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print(
                f"| {what} | {found['samples']:,} | {found['cached']:,} | {found['seconds']} s | "
                f"{found['peak_mb']} MB (to reach: < 500) | {found['score_s']} s (to reach: < 2) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
