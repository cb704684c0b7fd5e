"""Writing samples in the formats that other evaluators read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

from assay.harness.errors import BadInputError
from assay.harness.evaluation.formats.read import Sample
from assay.suites import Problem, Suite
from assay.suites.extraction.extract import extract
from assay.suites.registry import Registry, UnknownNameError
from assay.trainers.files import publish

SampleWriter = Callable[[Iterable[Sample], Suite, Path], int]
WRITERS: Registry[SampleWriter] = Registry("format to write", "assay.sample_writers")


def write_samples(samples: Iterable[Sample], suite: Suite, path: Path, form: str) -> int:
    """Write samples in the format named `form`; returns how many. A file appears whole or not at all; the suffix
    `.gz` compresses it. Raises BadInputError for an unknown format or a sample that it cannot hold."""
    try:
        writer = WRITERS.get(form)
    except UnknownNameError as error:
        raise BadInputError(str(error)) from None
    return writer(samples, suite, path)


@contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    """Open a text file that takes its name when it is complete."""
    with publish(path) as part:
        if path.suffix == ".gz":
            with gzip.open(part, "wt", encoding="utf-8", newline="") as file:
                yield cast(TextIO, file)
        else:
            with part.open("w", encoding="utf-8", newline="") as plain:
                yield plain


def _program(sample: Sample, problem: Problem) -> str:
    return extract(problem, sample.text, sample.form).program


def _rows(path: Path, rows: Iterable[dict[str, str]]) -> int:
    """JSON Lines in ASCII, so that a lone surrogate, which a model may write, is no trouble to any reader."""
    written = 0
    with _open(path) as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
            written += 1
    return written


@WRITERS.register("jsonl")
def write_jsonl(samples: Iterable[Sample], _suite: Suite, path: Path) -> int:
    """Each sample as what it is: `completion`, `solution` or `reply`. Loses nothing."""
    return _rows(path, ({"task_id": s.task_id, s.form: s.text} for s in samples))


@WRITERS.register("human-eval")
def write_human_eval(samples: Iterable[Sample], suite: Suite, path: Path) -> int:
    """openai/human-eval: `completion` only. A program that does not begin with its problem's prompt has none."""
    problems = suite.by_id()

    def completion(sample: Sample) -> str:
        if sample.form == "completion":
            return sample.text
        prompt, program = problems[sample.task_id].prompt, _program(sample, problems[sample.task_id])
        if not program.startswith(prompt):
            raise BadInputError(
                f"{sample.task_id}, sample {sample.index}: its program does not begin with the problem's prompt, so "
                "it is no completion of it; write --to evalplus, which holds whole programs"
            )
        return program[len(prompt) :]

    return _rows(path, ({"task_id": s.task_id, "completion": completion(s)} for s in samples))


@WRITERS.register("evalplus")
def write_evalplus(samples: Iterable[Sample], suite: Suite, path: Path) -> int:
    """EvalPlus: `solution`, the whole program that was or would be run."""
    problems = suite.by_id()
    rows = ({"task_id": s.task_id, "solution": _program(s, problems[s.task_id])} for s in samples)
    return _rows(path, rows)


@WRITERS.register("bigcode")
def write_bigcode(samples: Iterable[Sample], suite: Suite, path: Path) -> int:
    """bigcode-evaluation-harness: a list of programs for each problem, in the suite's order (all held in memory).
    Problems after the last one that has a sample are left off, as its `--limit` does."""
    problems = suite.by_id()
    programs: dict[str, list[str]] = {problem.id: [] for problem in suite.problems}
    for sample in samples:
        programs[sample.task_id].append(_program(sample, problems[sample.task_id]))
    rows = list(programs.values())
    while rows and not rows[-1]:
        rows.pop()
    with _open(path) as file:
        json.dump(rows, file)
    return sum(map(len, rows))
