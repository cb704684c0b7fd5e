"""What docs/architecture.md says of the tree, and the rules that keep one job in one place."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("harness", "sandbox", "suites", "trainers")
LINE = re.compile(r"^( *)([\w.]+)/ {2,}(\S.*)$")


def printed_folders() -> list[str]:
    """The folders of the printed tree, as paths from the repository's root."""
    block = PAGE.read_text(encoding="utf-8").split("```")[1]
    folders: list[str] = []
    trail: list[str] = []
    for line in block.splitlines():
        if match := LINE.match(line):
            trail[len(match[1]) // 2 :] = [match[2]]
            folders.append("/".join(trail))
    return folders


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return [Path(name) for name in listed.splitlines() if (ROOT / name).exists()]


def test_the_printed_tree_is_the_tree() -> None:
    real = {
        str(folder)
        for file in tracked_files()
        if file.parts[0] in PACKAGES
        for folder in file.parents
        if folder != Path()
    }
    printed = printed_folders()
    assert len(printed) == len(set(printed))
    assert {folder for folder in printed if folder.split("/")[0] in PACKAGES} == real


def test_files_that_the_page_names_exist() -> None:
    text = PAGE.read_text(encoding="utf-8")
    named = set(
        re.findall(r"`((?:harness|sandbox|suites|trainers|tests|docs|src|benchmarks)/[\w./-]+\.\w+)`", text)
    )
    assert len(named) > 20
    assert not [name for name in named if not (ROOT / name).exists()]


def test_the_harness_opens_on_few_entries() -> None:
    entries = {
        file.parts[1] for file in tracked_files() if file.parts[0] == "harness" and file.name != "__init__.py"
    }
    assert len(entries) <= 24


def sources() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def publishes(node: ast.AST) -> bool:
    """Whether a call gives a file another name: os.replace, os.rename, or a path's replace or rename (a string's
    replace has two arguments, a data frame's rename has keywords)."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    if ast.unparse(node.func) in ("os.replace", "os.rename", "shutil.move"):
        return True
    return node.func.attr in ("replace", "rename") and len(node.args) == 1 and not node.keywords


def test_files_are_published_in_one_way() -> None:
    modules = {name for name, tree in sources() if any(publishes(node) for node in ast.walk(tree))}
    assert len(modules) <= 2, modules


def test_exceptions_become_exit_codes_in_one_place() -> None:
    def exits(tree: ast.Module) -> bool:
        return any(
            isinstance(node, ast.ExceptHandler)
            and any("exit(" in ast.unparse(inner) or "Exit(" in ast.unparse(inner) for inner in node.body)
            for node in ast.walk(tree)
        )

    places = {name for name, tree in sources() if name.startswith("harness/") and exits(tree)}
    assert places == {"harness/cli/__init__.py"}


def test_words_of_the_old_dialect_stand_nowhere() -> None:
    words = re.compile("wal" + "ls|rehear" + "sal|jani" + "tor|hei" + "rs")
    files = [file for file in tracked_files() if file.suffix == ".py"]
    assert len(files) > 300
    hits = [
        f"{file}:{number}"
        for file in files
        for number, line in enumerate((ROOT / file).read_text(encoding="utf-8").splitlines(), 1)
        if words.search(line)
    ]
    assert not hits
