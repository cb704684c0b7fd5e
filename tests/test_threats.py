"""docs/threats.md names tests and programs that exist, and the table that `assay doctor` prints."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from assay.harness.situations import SITUATIONS
from assay.sandbox.corpus import WEAKNESSES, load_corpus

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "threats.md").read_text(encoding="utf-8")
KINDS = range(1, 10)


def test_every_test_on_the_page_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 20
    missing = [f"{path}::{name}" for path, name in named if name not in functions_of(path)]
    assert missing == []


def functions_of(path: str) -> set[str]:
    file = ROOT / path
    if not file.exists():
        return set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_promise_names_a_test() -> None:
    table = PAGE.split("## Promises")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    assert [row for row in rows if "::test_" not in row.rsplit("|", 2)[1]] == []


def test_every_promise_about_strangers_names_a_test() -> None:
    section = PAGE.split("## Strangers' files, folders and servers")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 10
    assert [row for row in rows if "::test_" not in row.rsplit("|", 2)[1]] == []


def test_every_kind_stands_on_the_page() -> None:
    assert [title for title in WEAKNESSES.values() if f"**{title}**" not in PAGE] == []


def test_files_that_the_page_names_exist() -> None:
    named = set(re.findall(r"`((?:tests|sandbox|harness)/[\w./*-]+\.py)`", PAGE))
    assert [name for name in named if not list(ROOT.glob(name))] == []


def test_programs_that_the_page_names_exist() -> None:
    named = set(re.findall(r"`((?:hostile|forgery|control)/[\w*]+)`", PAGE))
    assert len(named) > 10
    assert [name for name in named if not list((ROOT / "tests" / "attacks").glob(f"{name}.py"))] == []


def test_the_table_is_the_one_that_doctor_prints() -> None:
    assert [row.name for row in SITUATIONS if row.markdown_row not in PAGE] == []


def test_every_kind_has_programs_of_its_own() -> None:
    corpus = [attack for attack in load_corpus() if attack.kind != "control"]
    counts = {kind: sum(attack.weakness == kind for attack in corpus) for kind in KINDS}
    assert {kind: count for kind, count in counts.items() if count < 5} == {}
