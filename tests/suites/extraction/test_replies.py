"""The extractor on a corpus of replies, each with the program that was cut from it by hand.

`replies/replies.jsonl` was written for this: models' habits (fences of every kind, prose, thinking, tags, tests and
truncation) around right and wrong answers to the problems in `replies/problems.jsonl`. Extraction loss is the share of
replies whose cut passes and whose extraction does not; a wrong answer has to stay wrong whatever is around it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.sandbox import Program, Sandbox
from assay.suites import Problem, load_suite
from assay.suites.extraction.extract import extract

REPLIES = Path(__file__).parent / "replies"


@pytest.fixture(scope="module")
def problems() -> dict[str, Problem]:
    return load_suite("jsonl", path=REPLIES / "problems.jsonl").by_id()


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (REPLIES / "replies.jsonl").read_text(encoding="utf-8").splitlines()]


def verdicts(problems: dict[str, Problem], programs: Iterator[tuple[str, str]]) -> list[bool]:
    """Whether each (problem, program) passes."""
    made = [
        Program(str(i), program, problems[problem].checks, problems[problem].entry_point)
        for i, (problem, program) in enumerate(programs)
    ]
    with Sandbox(workers=2, mode="shared") as box:
        found = {verdict.id: verdict.passed for verdict in box.run(made)}
    return [found[str(i)] for i in range(len(made))]


@pytest.mark.isolated
def test_no_reply_is_lost_and_no_wrong_answer_is_mended(
    problems: dict[str, Problem], rows: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    extractions = [extract(problems[row["problem"]], row["reply"], "reply") for row in rows]
    by_hand = verdicts(problems, ((row["problem"], row["cut"]) for row in rows))
    ours = verdicts(problems, ((row["problem"], e.program) for row, e in zip(rows, extractions, strict=True)))
    named = list(zip(rows, extractions, by_hand, ours, strict=True))
    assert [
        row["name"] for row, _, cut, _ in named if cut is not row["right"]
    ] == []  # the corpus is what it says
    lost = [(row["name"], e.rule) for row, e, cut, passed in named if cut and not passed]
    mended = [(row["name"], e.rule) for row, e, cut, passed in named if passed and not cut]
    right = sum(by_hand)
    with capsys.disabled():
        rules = Counter(e.rule for e in extractions).most_common()
        print(
            f"\nextraction loss: {len(lost)} of {right} replies; mended: {len(mended)} of {len(rows) - right}"
        )
        print(", ".join(f"{rule} {n}" for rule, n in rules))
    assert mended == []
    assert lost == []


def test_the_corpus_is_large_and_varied(rows: list[dict[str, Any]]) -> None:
    assert sum(row["right"] for row in rows) >= 120
    assert sum(not row["right"] for row in rows) >= 60
    assert len({row["reply"] for row in rows}) == len(rows)


def test_extracting_again_changes_nothing(problems: dict[str, Problem], rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["right"]:
            once = extract(problems[row["problem"]], row["reply"], "reply").program
            again = extract(problems[row["problem"]], f"```python\n{once}\n```", "reply").program
            assert again.split() == once.split(), row["name"]
