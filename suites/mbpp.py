"""MBPP (Austin et al. 2021, arXiv 2108.07732): 974 problems, and the 427 of them that were checked by hand.

The paper's splits are by task id: 1–10 are the prompts of its few-shot setting, 11–510 the test problems, 511–600
validation and 601–974 training. Prompt styles, chosen by the option `style`:

| style | the model reads before it writes |
|---|---|
| `docstring` (default) | the text and one assert in a docstring, as EvalPlus asks base models; code follows |
| `paper` | the paper's: "You are an expert Python programmer, and here is your task: …", all asserts, `[BEGIN]` |
| `paper-3shot` | the same after problems 2, 3 and 4 with their solutions |
| `text` | the text alone, neither name nor asserts |
| `name` | the text and the function's name |
| `asserts` | the text and all asserts |
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from assay.suites import SUITES, parsing
from assay.suites.humaneval import CHAT
from assay.suites.model import Problem, Suite, SuiteError
from assay.suites.sources import Origin, Rows, parse, read_source, unique

URL = "https://github.com/google-research/google-research/tree/master/mbpp"
FULL = Origin("mbpp", ("mbpp.jsonl", "mbpp.jsonl.gz"), URL, "google-research-datasets/mbpp", "full")
SANITIZED = Origin(
    "mbpp-sanitized", ("sanitized-mbpp.json",), URL, "google-research-datasets/mbpp", "sanitized"
)
SPLITS = {"prompt": (1, 10), "test": (11, 510), "validation": (511, 600), "train": (601, 974)}
SHOTS = (2, 3, 4)
# What ends a bare completion: the paper's own marker, and what cannot be part of the answer.
STOP = ("[DONE]", "\nassert ", '\n"""', "\nprint(", "\nif __name__", "\n```", "\n[BEGIN]")


class Row(BaseModel):
    """A row: `text` and `test_setup_code` are the full file's, `prompt` and `test_imports` the sanitized one's."""

    model_config = ConfigDict(strict=True)

    task_id: int = Field(ge=1)
    text: str = ""
    prompt: str = ""
    code: str = Field(min_length=1)
    test_list: list[str] = Field(min_length=1)
    challenge_test_list: list[str] = []
    test_setup_code: str = ""
    test_imports: list[str] = []

    @property
    def description(self) -> str:
        return (self.text or self.prompt).strip()

    @property
    def solution(self) -> str:
        return self.code.replace("\r\n", "\n").rstrip() + "\n"


@SUITES.register("mbpp")
def load_full(
    *, path: Path | None, split: str | None, style: str = "docstring", challenge: str = "no"
) -> Suite:
    """All 974 problems, by the paper's splits (`test` where none is named, `all` for every one); with
    `challenge=yes`, the harder asserts that a few problems have are checked too."""
    if challenge not in ("yes", "no"):
        raise SuiteError(f"the option 'challenge' is yes or no, not {challenge!r}")
    return _load(FULL, path, split or "test", style, challenge == "yes")


@SUITES.register("mbpp-sanitized")
def load_sanitized(*, path: Path | None, split: str | None, style: str = "docstring") -> Suite:
    """The 427 problems checked by hand, all of them where no split is named."""
    return _load(SANITIZED, path, split or "all", style, False)


def _load(origin: Origin, path: Path | None, split: str, style: str, challenge: bool) -> Suite:
    if split != "all" and split not in SPLITS:
        raise SuiteError(f"{origin.suite} has no split {split!r}; known: all, {', '.join(SPLITS)}")
    if style not in STYLES:
        raise SuiteError(f"{origin.suite} has no prompt style {style!r}; known: {', '.join(STYLES)}")
    data = read_source(origin, path, "prompt+test+validation+train")
    rows = _rows(data)
    first, last = SPLITS.get(split, (1, max(rows)))
    shots = tuple(rows[number] for number in SHOTS if number in rows)
    if style == "paper-3shot" and len(shots) < len(SHOTS):
        raise SuiteError(
            f"{data.source}: the style 'paper-3shot' needs the problems {SHOTS}, which are not all there"
        )
    problems = tuple(
        _problem(row, style, shots, challenge, data.source)
        for number, row in sorted(rows.items())
        if first <= number <= last
    )
    if not problems:
        raise SuiteError(
            f"{data.source} holds no problem of the split {split!r} (task ids {first} to {last})"
        )
    revision = f"{data.revision}:{split}:{style}" + (":challenge" if challenge else "")
    return Suite(origin.suite, revision, problems, STOP, source=data.source)


def _rows(data: Rows) -> dict[int, Row]:
    rows: dict[int, Row] = {}
    seen: set[str] = set()
    for place, values in data:
        row = parse(Row, values, place)
        if not row.description:
            raise SuiteError(f"{place}: the fields 'text' and 'prompt' are both missing or empty")
        unique(seen, str(row.task_id), place)
        rows[row.task_id] = row
    return rows


def _problem(row: Row, style: str, shots: tuple[Row, ...], challenge: bool, source: str) -> Problem:
    entry_point = entry_point_of(row)
    if entry_point is None:
        raise SuiteError(
            f"{source}: task {row.task_id}: no function of its solution is called by its asserts"
        )
    lead, prompt, ask = STYLES[style](Task(row, entry_point, shots))
    asserts = (*row.test_list, *(row.challenge_test_list if challenge else ()))
    # Setup may build objects of the candidate's own classes, so it stands before the asserts and after the candidate.
    setup = "\n".join((*row.test_imports, row.test_setup_code.replace("\r\n", "\n"))).strip()
    first = f"{setup}\n{asserts[0]}" if setup else asserts[0]
    return Problem(
        id=f"Mbpp/{row.task_id}",
        prompt=prompt,
        lead=lead,
        entry_point=entry_point,
        checks=(first, *asserts[1:]),
        canonical_solution=row.solution,
        instruction=f"{CHAT}\n{ask}",
        statement="\n".join(
            (row.description, *(t.strip() for t in row.test_list if t.strip() in lead + prompt))
        ),
    )


def entry_point_of(row: Row) -> str | None:
    """The function of the solution that the first assert calls; where it calls several, the last one defined."""
    try:
        defined = [
            n.name for n in parsing.parse(row.solution).body if isinstance(n, (ast.FunctionDef, ast.ClassDef))
        ]
        calls = [n for n in ast.walk(parsing.parse(row.test_list[0].strip())) if isinstance(n, ast.Call)]
    except SyntaxError:
        return None
    called = {n.func.id for n in calls if isinstance(n.func, ast.Name)}
    return next((name for name in reversed(defined) if name in called), None)


# A style's texts: the one read before the program, the program's start, and the question to a chat model.
Wording = tuple[str, str, str]


class Task(NamedTuple):
    """The parts of a problem that a style may use."""

    row: Row
    entry_point: str
    shots: tuple[Row, ...] = ()


Style = Callable[[Task], Wording]


def _question(question: str) -> Wording:
    return f"{question}\n[BEGIN]\n", "", question


def _with_asserts(row: Row) -> str:
    tests = "\n".join(test.strip() for test in row.test_list)
    return f"{row.description} Your code should pass these tests:\n\n{tests}"


def _docstring(task: Task) -> Wording:
    prompt = f'"""\n{task.row.description}\n{task.row.test_list[0].strip()}\n"""\n'
    return "", prompt, f"```python\n{prompt.strip()}\n```"


def _paper(task: Task) -> Wording:
    """Section 3.1 and figure 2 of the paper."""
    return _question(f"You are an expert Python programmer, and here is your task: {_with_asserts(task.row)}")


def _three_shots(task: Task) -> Wording:
    examples = [f"{_paper(Task(shot, ''))[0]}{shot.solution.rstrip()}\n[DONE]\n\n" for shot in task.shots]
    lead, _, question = _paper(task)
    return "".join(examples) + lead, "", "".join(examples) + question


STYLES: dict[str, Style] = {
    "docstring": _docstring,
    "paper": _paper,
    "paper-3shot": _three_shots,
    "text": lambda task: _question(task.row.description),
    "name": lambda task: _question(f"{task.row.description} The function is called `{task.entry_point}`."),
    "asserts": lambda task: _question(_with_asserts(task.row)),
}
