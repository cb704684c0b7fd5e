"""The house rules that a reader relies on: who may import whom, no circles, and a command line that answers at once."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "suites": set(),
    "sandbox": set(),
    "trainers": {"suites", "sandbox"},
    "harness": {"suites", "sandbox", "trainers"},
}
HEAVY = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "datasets",
    "bitsandbytes",
    "llama_cpp",
    "pandas",
    "numpy",
    "pyarrow",
)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> dict[str, Path]:
    return {module_name(p): p for package in ALLOWED for p in sorted((ROOT / package).rglob("*.py"))}


def imports(path: Path, *, top_level_only: bool) -> set[str]:
    """Our modules that `path` imports by name; a name imported from a package counts as a module if it is one."""
    known = modules()
    tree = ast.parse(path.read_text())
    nodes = top_level(tree) if top_level_only else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
    return {name for name in found if name.split(".")[0] in ALLOWED}


def top_level(tree: ast.Module) -> list[ast.stmt]:
    """Statements that run at import; `if TYPE_CHECKING` blocks do not."""
    found: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        found.append(node)
        found.extend(
            inner
            for inner in ast.walk(node)
            if isinstance(inner, ast.stmt) and isinstance(node, ast.Try | ast.If)
        )
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_only_what_lies_below_them(package: str) -> None:
    strays = {
        (name, target)
        for name, path in modules().items()
        if name.split(".")[0] == package
        for target in imports(path, top_level_only=False)
        if target.split(".")[0] not in ALLOWED[package] | {package}
    }
    assert not strays


def test_no_import_circles() -> None:
    # A package's __init__ naming its own modules is not a circle by itself: those import the package's name only
    # after it exists. What may not be is a chain of modules that leads back to where it began.
    graph = {name: imports(path, top_level_only=True) - {name} for name, path in modules().items()}
    state: dict[str, int] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if state.get(name) == 1:
            pytest.fail(" -> ".join([*trail[trail.index(name) :], name]))
        if state.get(name) == 2:
            return
        state[name] = 1
        for target in sorted(graph.get(name, ())):
            visit(target, (*trail, name))
        state[name] = 2

    for name in graph:
        visit(name, ())


def test_the_command_line_starts_without_anything_heavy() -> None:
    code = f"import sys, assay.harness.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_light_core_evaluates_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "import assay.harness.evaluation.samples_file, assay.harness.pipeline.plan, assay.harness.pipeline.runner\n"
        "import assay.harness.leaderboard.build, assay.harness.report\n"
        "from assay.suites import load_suite; print(len(load_suite('humaneval').problems))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "164"


def test_nothing_of_ours_names_a_machine_or_a_registry() -> None:
    words = ("/" + "work/", "files.python" + "hosted", "/opt/" + "wheels")
    tracked = subprocess.run(
        ["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split("\n")
    hits = []
    for name in filter(None, tracked):
        path = ROOT / name
        if path.suffix in {".safetensors", ".gguf", ".png", ".parquet"} or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        hits += [(name, word) for word in words if word in text]
    assert not hits
