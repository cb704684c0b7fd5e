"""MBPP+ judged by us and by EvalPlus, in one run: `python -m benchmarks.mbpp_plus [--evalplus PYTHON] [--rounds N]`.

The answers are Qwen2.5-Coder-1.5B's, from `../shared/data/replays`; PYTHON is an interpreter with EvalPlus 0.3.1, left
out for ours alone. Each round judges the file with empty caches and then with the references known, ours and EvalPlus'
alternately, and never with the cache of verdicts. Printed are seconds of wall time, with the references' as rows.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from assay.harness.evaluation.expected_values import with_checks
from assay.harness.evaluation.ground_truth import settle
from assay.harness.evaluation.judge import CacheUse
from assay.harness.evaluation.samples_file import Options, evaluate_file
from assay.harness.experiment import SandboxTable
from assay.suites import load_suite

DATA = Path(__file__).parents[2] / "shared" / "data"
SAMPLES = DATA / "replays" / "qwen2.5-coder-1.5b" / "mbpp.generated.jsonl"
MBPP_PLUS = DATA / "suites" / "MbppPlus-v0.1.0.jsonl.gz"


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ours(folder: Path) -> dict[str, float]:
    """Seconds of each part, with a cache folder of its own."""
    os.environ["ASSAY_CACHE"] = str(folder / "cache")
    suite, table = load_suite("mbpp+", path=MBPP_PLUS), SandboxTable()
    samples = folder / "samples.jsonl"
    shutil.copyfile(SAMPLES, samples)
    options = Options(cache=CacheUse(enabled=False))
    seconds = {
        "references' answers": timed(lambda: with_checks(suite, table)),
        "references judged": timed(lambda: settle(suite, table)),
        "ours, references known": timed(lambda: evaluate_file(suite, samples, table, options)),
    }
    return seconds | {"ours, cold": sum(seconds.values())}


def seconds_of_evalplus(python: str, folder: Path) -> dict[str, float]:
    """EvalPlus with a home of its own: its first evaluation computes the references' answers, the second has them."""
    rows = map(json.loads, SAMPLES.read_text().splitlines())
    seconds = {}
    for name in ("EvalPlus, cold", "EvalPlus, references known"):
        samples = folder / f"{len(seconds)}.jsonl"
        samples.write_text(
            "".join(json.dumps({"task_id": r["task_id"], "solution": r["completion"]}) + "\n" for r in rows)
        )
        rows = map(json.loads, SAMPLES.read_text().splitlines())
        command = [python, "-m", "evalplus.evaluate", "--dataset", "mbpp", "--samples", str(samples)]
        settings = os.environ | {"HOME": str(folder), "MBPP_OVERRIDE_PATH": str(MBPP_PLUS)}
        seconds[name] = timed(
            lambda command=command, settings=settings: subprocess.run(  # type: ignore[misc]
                command, check=True, capture_output=True, env=settings
            )
        )
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evalplus", metavar="PYTHON", help="an interpreter with EvalPlus")
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    if not (SAMPLES.is_file() and MBPP_PLUS.is_file()):
        print(f"unmeasured: {SAMPLES} or {MBPP_PLUS} is not there")
        return
    print(f"load {os.getloadavg()}; {os.cpu_count()} cores")
    rows: dict[str, list[float]] = {}
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as name:
            parts = ours(Path(name))
            if arguments.evalplus:
                parts |= seconds_of_evalplus(arguments.evalplus, Path(name))
        for part, seconds in parts.items():
            rows.setdefault(part, []).append(seconds)
    print("| MBPP+, 399 answers | s |\n|---|---|")
    for part, values in rows.items():
        print(f"| {part} | {statistics.median(values):.0f} [{min(values):.0f}–{max(values):.0f}] |")
    print(f"load {os.getloadavg()}")


if __name__ == "__main__":
    main()
