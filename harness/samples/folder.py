"""EvalPlus' folder form: `HumanEval_0/0.py`, `HumanEval_0/1.py`, …, each a whole program."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from harness.samples.model import Fault, Found, fault
from suites import Suite


def folder_of(task_id: str) -> str:
    return task_id.replace("/", "_")


def in_order(name: str) -> tuple[int, str]:
    """2.py before 10.py."""
    stem = name.removesuffix(".py")
    return (int(stem) if stem.isascii() and stem.isdigit() else 1 << 60, name)


def read_folder(path: Path, suite: Suite, /) -> Iterator[Found | Fault]:
    """Problems in the suite's order, their files by number. A folder that is no problem's, and a file that is not
    text, is a Fault; other files are left alone."""
    tasks = {folder_of(problem.id): problem.id for problem in suite.problems}
    present = {entry.name for entry in path.iterdir() if entry.is_dir()}
    for name in sorted(present - set(tasks)):
        if any(entry.endswith(".py") for entry in os.listdir(path / name)):
            yield fault(path, f"folder {name}", f"is no problem of the suite {suite.name!r}")
    number = 0
    for name, task in tasks.items():
        files = os.listdir(path / name) if name in present else []
        for file in sorted((f for f in files if f.endswith(".py")), key=in_order):
            number += 1
            try:
                text = (path / name / file).read_bytes().decode("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                yield fault(path / name / file, "", f"cannot be read ({error})")
                continue
            yield Found(number, f"{name}/{file}", task, text, "solution", "file")
