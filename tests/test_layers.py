"""The layers: who may import whom, no circles of any kind, public names, and a command line that starts at once."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import types
from collections.abc import Collection, Iterator, Mapping
from functools import cache
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
    parts = ("assay", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    return {module_name(p): p for package in ALLOWED for p in sorted((ROOT / package).rglob("*.py"))}


def package_of(module: str) -> str:
    return module.split(".")[1]


def imports(tree: ast.AST, known: Collection[str]) -> set[str]:
    """Return the `known` modules that a file imports anywhere, inside functions too, but not under TYPE_CHECKING.

    A name imported from a package counts as a module where it is one.
    """
    targets: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            targets |= imports(ast.Module(node.orelse, []), known)
        elif isinstance(node, ast.Import):
            targets.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            assert node.module
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            targets.update(name if name in known else node.module for name in names)
        else:
            targets |= imports(node, known)
    return {target for target in targets if target in known}


def circles(graph: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one module (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    trail: list[str] = []
    components = []

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        trail.append(module)
        for target in sorted(graph.get(module, ())):
            if target not in order:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in trail:
                low[module] = min(low[module], order[target])
        if low[module] == order[module]:
            place = trail.index(module)
            component = sorted(trail[place:])
            del trail[place:]
            if len(component) > 1:
                components.append(component)

    for module in graph:
        if module not in order:
            visit(module)
    return components


@cache
def import_graph() -> dict[str, set[str]]:
    known = modules().keys()
    return {
        name: imports(ast.parse(path.read_text(encoding="utf-8")), known) - {name}
        for name, path in modules().items()
    }


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_only_what_lies_below_them(package: str) -> None:
    strays = {
        (name, target)
        for name, targets in import_graph().items()
        if package_of(name) == package
        for target in targets
        if package_of(target) not in ALLOWED[package] | {package}
    }
    assert not strays


def test_no_import_circles() -> None:
    """Imports inside functions count: a circle that is imported late is a circle all the same."""
    assert circles(import_graph()) == []


def test_a_circle_through_a_function_is_seen() -> None:
    """The tests here read the graph of all files; this one holds that the graph has what it should."""
    late = ast.parse("def f():\n    from assay.b import g")
    typing = ast.parse("if TYPE_CHECKING:\n    import assay.a\nelse:\n    import assay.c")
    known = {"assay.a", "assay.b", "assay.c"}
    assert imports(late, known) == {"assay.b"}
    assert imports(typing, known) == {"assay.c"}
    graph = {"assay.a": {"assay.b"}, "assay.b": {"assay.c"}, "assay.c": {"assay.b"}}
    assert circles(graph) == [["assay.b", "assay.c"]]
    edges = import_graph()
    assert "assay.sandbox" in edges["assay.harness.evaluation.judge"]
    assert sum(map(len, edges.values())) > 500


def test_nothing_imports_the_public_face() -> None:
    """`assay/__init__.py` imports any room on demand; a room that asked it for a name would close a circle."""
    face = ROOT / "src" / "assay" / "__init__.py"
    taken = [
        (name, node.lineno)
        for name, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "assay"
    ]
    assert face.is_file()
    assert not taken


PUBLIC = {
    "assay": ["Limits", "Problem", "Program", "Sandbox", "SandboxError", "Suite", "Verdict", "load_suite"],
    "assay.sandbox": [
        "Limits",
        "Outcome",
        "Program",
        "Sandbox",
        "SandboxError",
        "Verdict",
        "probe",
        "selfcheck",
    ],
    "assay.suites": ["Problem", "Suite", "SuiteError", "load_suite"],
    "assay.trainers": ["TRAINERS", "Artifact", "TrainersError", "load_records"],
    "assay.harness.cli": ["app", "main"],
    "assay.harness.experiment": ["Experiment", "load_experiment"],
    "assay.harness.generation": ["Generator", "Request", "Sample", "Sampling", "load_generator"],
    "assay.harness.equivalence": ["compare_links"],
    "assay.harness.profiling.memory": ["Setup", "parse_architecture", "predict"],
    "assay.harness.report": ["render_markdown", "write_report"],
}


def packages() -> list[str]:
    return ["assay", *(name for name, path in modules().items() if path.name == "__init__.py")]


@pytest.mark.parametrize("package", packages())
def test_public_names(package: str) -> None:
    """A package's `__all__` is sorted, every name in it can be imported, and nothing public is missing from it: what
    the package defines, and what it takes from modules of its own only to pass it on. Without `__all__` a package has
    no public names of its own."""
    module = importlib.import_module(package)
    names = list(getattr(module, "__all__", []))
    assert names == sorted(set(names), key=by_kind_and_name)
    assert [name for name in names if not hasattr(module, name)] == []
    assert set(PUBLIC.get(package, ())) <= set(names)
    if names:
        assert module.__file__
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        missing = set(offered_names(tree, package)) - set(names) - set(module_names(module))
        assert not missing


def test_packages_are_asked_for_public_names_only() -> None:
    known = modules()
    strays = []
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (source := known.get(node.module or "")):
                if source.name != "__init__.py":
                    continue
                public = getattr(importlib.import_module(node.module or ""), "__all__", [])
                taken = {alias.name for alias in node.names if f"{node.module}.{alias.name}" not in known}
                strays += [(name, node.module, stray) for stray in sorted(taken - set(public))]
    assert not strays


def by_kind_and_name(name: str) -> tuple[int, str]:
    """The order that ruff's RUF022 keeps: constants, classes, the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def module_names(package: types.ModuleType) -> list[str]:
    return [name for name, value in vars(package).items() if isinstance(value, types.ModuleType)]


def offered_names(tree: ast.Module, package: str) -> Iterator[str]:
    """Yield a package's functions and classes, but for those that a decorator puts into a registry, and the names that
    it imports from its own modules and does not use."""
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            registered = any(".register(" in ast.unparse(decorator) for decorator in node.decorator_list)
            names += [] if registered else [node.name]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}."):
            names += [name for alias in node.names if (name := alias.asname or alias.name) not in used]
    yield from (name for name in names if not name.startswith("_"))


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
