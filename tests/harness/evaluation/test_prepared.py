"""An unexpected error while a sample is prepared is that sample's, tried again, and never the end of the run."""

from __future__ import annotations

import itertools

import pytest

from assay.harness.evaluation import scores
from assay.sandbox import Limits, Outcome, Program, Verdict
from assay.suites import Problem
from assay.suites.extraction.extract import Extraction

PROBLEM = Problem("p/1", "def f(x):\n", "f", ("assert f(1) == 1",))


@pytest.mark.parametrize("failures", [0, 1, 2, 3, 9])
def test_a_sample_whose_program_cannot_be_taken_is_infra(
    monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    calls = itertools.count()

    def extract(problem: Problem, text: str, form: str) -> Extraction:
        if next(calls) < failures:
            raise SystemError("AST constructor recursion depth mismatch")
        return Extraction(problem.prompt + text, form)

    monkeypatch.setattr(scores, "extract", extract)
    extraction, program = scores.prepared("0", PROBLEM, "    return x\n", "completion", Limits())
    if failures < scores.PREPARATIONS:
        assert isinstance(program, Program)
        assert program.candidate == extraction.program == "def f(x):\n    return x\n"
    else:
        assert isinstance(program, Verdict)
        assert (program.outcome, program.checks_total) == (Outcome.INFRA, 1)
        assert "recursion depth mismatch" in program.detail
