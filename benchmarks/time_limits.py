"""How near right answers come to their time limits: `python -m benchmarks.time_limits`.

Qwen2.5-Coder-1.5B's answers to MBPP+ that are published as passing, from `../shared/data/replays`, are asked for their
answers as references are, and the CPU time of each input is held against the reference's on this machine. Printed is
the input of each problem that comes nearest to its limit, and the share of it that it takes: below 0.5, no answer is
lost where both FLOOR_S and FACTOR are halved, as on a machine that is half as fast in one hour and not in the next.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

from assay.harness.evaluation import time_limits
from assay.harness.evaluation.expected_values import Answers, ask
from assay.harness.evaluation.judge import open_sandbox
from assay.harness.experiment import SandboxTable
from assay.suites import load_suite
from assay.suites.extraction.extract import extract

DATA = Path(__file__).parents[2] / "shared" / "data"
QWEN = DATA / "replays" / "qwen2.5-coder-1.5b"
MBPP_PLUS = DATA / "suites" / "MbppPlus-v0.1.0.jsonl.gz"
SHOWN = 15


def main() -> None:
    if not (QWEN.is_dir() and MBPP_PLUS.is_file()):
        print(f"unmeasured: {QWEN} or {MBPP_PLUS} is not there")
        return
    suite = load_suite("mbpp+", path=MBPP_PLUS, options={"compat": "evalplus-0.2.2"})
    problems = suite.by_id()
    entries = json.loads((QWEN / "mbpp.generated_eval_results.json").read_text())["eval"]
    passing = {task for task, (entry,) in entries.items() if entry["plus_status"] == "pass"}
    rows = map(json.loads, (QWEN / "mbpp.generated.jsonl").read_text().splitlines())
    texts = {row["task_id"]: row["completion"] for row in rows if row["task_id"] in passing}
    references = {p.id: p.oracle for p in suite.problems if p.oracle is not None and p.id in passing}
    candidates = {
        task: replace(oracle, program=extract(problems[task], texts[task], "completion").program)
        for task, oracle in references.items()
    }
    table = SandboxTable()
    began = time.perf_counter()
    with open_sandbox(table, suite) as sandbox:
        expected: dict[str, Answers | str] = {}
        given: dict[str, Answers | str] = {}
        ask(sandbox, references, table, expected.__setitem__)
        middle = time.perf_counter()
        ask(sandbox, candidates, table, given.__setitem__)
    print(f"references: {middle - began:.1f} s; answers: {time.perf_counter() - middle:.1f} s")
    print("| problem | answer, CPU s | input | answer, CPU s | reference, CPU s | limit | share of it |")
    print("|---|---|---|---|---|---|---|")
    rows = []
    for task in passing:
        reference, answer = expected[task], given[task]
        if isinstance(reference, str) or isinstance(answer, str):
            print(f"{task}: {reference if isinstance(reference, str) else answer}")
            continue
        each = [
            (ours / time_limits.of_check(its), place, ours, its)
            for place, (its, ours) in enumerate(zip(reference.cpu_s, answer.cpu_s, strict=True))
        ]
        rows.append((*max(each), task, sum(answer.cpu_s)))
    for share, place, ours, its, task, total in sorted(rows, reverse=True)[:SHOWN]:
        limit = time_limits.of_check(its)
        print(f"| {task} | {total:.1f} | {place} | {ours:.3f} | {its:.3f} | {limit:g} | {share:.2f} |")
    lost = [row for row in rows if row[0] > 1]
    print(f"lost with these limits: {len(lost)}; with both halved: {sum(row[0] > 0.5 for row in rows)}")


if __name__ == "__main__":
    main()
