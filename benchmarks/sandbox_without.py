"""Sandboxes without single protections, to price them: `benchmarks/sandbox_prices.py` alone uses it.

Nothing of the product turns a protection off. Here cells are started from a copy of the cell's sources to which lines
are appended, and functions of the host's side are replaced for as long as a block lasts.
"""

from __future__ import annotations

import compileall
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

from assay.sandbox.host import embedded, verdicts
from assay.sandbox.host.jobs import Job
from assay.sandbox.host.layout import CELL_SOURCES

# Lines appended to modules of the cell, by the kind of docs/threats.md that they leave open.
_LINES = {
    3: {
        "pids": "PidCounter.restart = lambda self: None",
        "scratch": """
def _tidy(self):
    if self._state() == self._untouched:
        return True
    os.fchmod(self._folder, self._untouched[0] & 0o7777)
    _empty(self._path)
    self._untouched = self._state()
    return not os.listdir(self._path)


Scratch.tidy = _tidy
Scratch.begin = lambda self: None
""",
        "seccomp": """
_ALLOW["x86_64"] += " mincore=27 fadvise64=221 readahead=187 cachestat=451"
_ALLOW["aarch64"] += " mincore=232 fadvise64=223 readahead=213 cachestat=451"
_all_rules = _rules


def _rules(*given):
    return _all_rules(*given) | dict.fromkeys(("madvise", "preadv2", "pwritev2"), [_ALLOWED])
""",
        "outside": """
_writable = writable


def writable(path):
    return -1 if path.endswith("timens_offsets") else _writable(path)
""",
    },
    6: {
        # Version 2 gives every group a share as soon as its parent has the controller: there the row lacks that part.
        "cgroup": """
_all_hierarchies = _hierarchies


def _hierarchies(text):
    return [pair for pair in _all_hierarchies(text) if pair[0] != "cpu"]
""",
        "fork": "Desk.was_starved = lambda self, usage: False",
    },
}


class Without:
    """The sandbox without what closes some kinds of weakness, while `in_force`."""

    def __init__(self, folder: Path, *kinds: int) -> None:
        """`folder` is where the cell's code is copied to."""
        self._kinds = kinds
        self._sources = folder / "sandbox" / "cell"
        shutil.copytree(CELL_SOURCES, self._sources, ignore=shutil.ignore_patterns("__pycache__"))
        for kind in kinds:
            for module, lines in _LINES[kind].items():
                with (self._sources / f"{module}.py").open("a", encoding="utf-8") as file:
                    file.write(f"\n\n{lines.strip()}\n")
        compileall.compile_dir(self._sources, quiet=1)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Start cells from the copy, and judge by what is left of the rules."""
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(embedded, "CELL_SOURCES", self._sources))
            stack.enter_context(mock.patch.object(embedded, "_compiled_sources", self._compiled))
            if 6 in self._kinds:
                for name in ("is_near_limit", "was_starved"):
                    stack.enter_context(mock.patch.object(verdicts, name, _never))
                stack.enter_context(mock.patch.object(verdicts, "CLEAR", verdicts.CPU_STOP))
                stack.enter_context(mock.patch.object(Job, "needs_quiet", _never))
            yield

    def _compiled(self) -> Path:
        return self._sources


def _never(*_: object) -> bool:
    return False
