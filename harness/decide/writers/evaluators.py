"""Results as openai/human-eval and EvalPlus write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.harness.decide.writers.measured import MeasuredModel, SampleVerdict
from assay.harness.decide.writers.write import WRITERS, Written, with_verdict, write_lines, write_object
from assay.harness.errors import BadInputError
from assay.harness.stats.pass_at_k import estimate_pass_at_k
from assay.sandbox.model import Outcome

_K = (1, 10, 100)


@WRITERS.register("human-eval")
def write_human_eval(measured: MeasuredModel, path: Path, /) -> Written:
    """openai/human-eval's `*_results.jsonl`: `task_id`, `completion`, `result` and `passed`.

    Of a + suite it holds the verdict of the base checks, which are human-eval's.
    """
    samples, notes = with_verdict(measured)
    plus = measured.suite.endswith("+")
    rows = []
    for sample in samples:
        passed = measured.passed_base(sample) if plus else sample.passed
        row = {"task_id": sample.problem, "completion": _completion(measured, sample)}
        rows.append(row | {"result": _result(sample, bool(passed)), "passed": bool(passed)})
    if plus:
        notes += (f"human-eval has one verdict a sample: it is that of {measured.base_suite}'s own checks",)
    notes += ("human-eval's rows have no place for versions and hashes",)
    return Written(write_lines(path, rows), path, notes)


def _completion(measured: MeasuredModel, sample: SampleVerdict) -> str:
    """Return what follows the prompt. Raises BadInputError for a program that does not begin with it."""
    if sample.form == "completion" and sample.text is not None:
        return sample.text
    problem = measured.base_problems.get(sample.problem) or measured.problem(sample)
    program, prompt = measured.program(sample), problem.prompt
    if not program.startswith(prompt):
        raise BadInputError(
            f"{sample.problem}, sample {sample.index}: its program does not begin with the problem's prompt, so it is "
            "no completion of it; write --to evalplus, which holds whole programs"
        )
    return program[len(prompt) :]


def _result(sample: SampleVerdict, passed: bool) -> str:
    """Return the text that human-eval has for a verdict."""
    if passed:
        return "passed"
    return "timed out" if sample.outcome == Outcome.TIMEOUT.value else f"failed: {sample.detail}"


@WRITERS.register("evalplus")
def write_evalplus(measured: MeasuredModel, path: Path, /) -> Written:
    """EvalPlus' `*_eval_results.json`: whole programs with the status of the base checks and of the + checks.

    A suite without + checks has the plus status null, as EvalPlus writes with --base-only. Which inputs failed is not
    known here, and left out.
    """
    samples, notes = with_verdict(measured)
    plus = measured.suite.endswith("+")
    evaluated: dict[str, list[dict[str, Any]]] = {}
    for sample in samples:
        base = measured.passed_base(sample) if plus else sample.passed
        failure = "timeout" if sample.outcome == Outcome.TIMEOUT.value else "fail"
        row = {
            "task_id": sample.problem,
            "solution": measured.program(sample),
            "base_status": "pass" if base else failure,
            "plus_status": ("pass" if sample.passed else failure) if plus else None,
        }
        evaluated.setdefault(sample.problem, []).append(row)
    value = {
        "date": measured.created.replace("T", " ")[:16],
        "hash": measured.revision,
        "eval": evaluated,
        "pass_at_k": {
            name: scores
            for name, status in (("base", "base_status"), ("plus", "plus_status"))
            if (scores := _scores(evaluated, status))
        },
        "assay": measured.provenance(),
    }
    write_object(path, value)
    if not plus:
        notes += (f"{measured.suite} has no + checks: give EvalPlus --base-only, or it prints 0 for them",)
    if measured.revision:
        notes += ("EvalPlus' field 'hash' holds Assay's revision of the suite, which is another hash",)
    return Written(len(samples), path, notes)


def _scores(evaluated: dict[str, list[dict[str, Any]]], status: str) -> dict[str, float]:
    counts = [(len(rows), sum(row[status] == "pass" for row in rows)) for rows in evaluated.values()]
    if any(row[status] is None for rows in evaluated.values() for row in rows):
        return {}
    fewest = min(n for n, _ in counts)
    return {f"pass@{k}": estimate_pass_at_k(counts, k).value for k in _K if k <= fewest}
