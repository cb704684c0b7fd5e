"""Ordinary problems as users and benchmarks write them, beyond functions from data to data: `data/*.py`.

Below `#== problem: NAME ENTRY_POINT` stand its sections: `right` and `wrong` programs, `cheat`s, which know no
answer, `check`s, which run in order in one namespace, `prompt`, the source that candidates begin with where the problem
has one, and `run`, which runs the check's TestCases as BigCodeBench does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from assay.sandbox import Limits, Program

Role = Literal["right", "wrong", "cheat"]
DATA = Path(__file__).parent / "data"

# How long one program may take: some wait, some start another interpreter.
_LIMITS = Limits(cpu_s=5, wall_s=20)
_MARK = re.compile(r"^#== (\w+)(?:: (.+))?\n", re.MULTILINE)

_RUN = """
_result = unittest.TestResult()
unittest.defaultTestLoader.loadTestsFromTestCase(TestCases).run(_result)
assert _result.testsRun, "no test ran"
assert _result.wasSuccessful(), "\\n".join(text for _, text in _result.failures + _result.errors)
"""

# Cheats for every problem: objects that agree to whatever they are asked.
_AGREEABLE = """
class Agreeable:
    def __init__(self, *a, **k): pass
    def __call__(self, *a, **k): return self
    def __getattr__(self, name): return self if name[:2] != "__" else object.__getattribute__(self, name)
    def __getitem__(self, key): return self
    def __setitem__(self, key, value): pass
    def __delitem__(self, key): pass
    def __iter__(self): return iter([self])
    def __next__(self): return self
    def __len__(self): return 1
    def __contains__(self, item): return True
    def __bool__(self): return True
    def __hash__(self): return 0
    def __enter__(self): return self
    def __exit__(self, *a): return True
    def __await__(self):
        return self
        yield
    def __aiter__(self): return self
    async def __anext__(self): raise StopAsyncIteration
    async def __aenter__(self): return self
    async def __aexit__(self, *a): return True
    def send(self, value): return self
    def _yes(self, *a): return True
    __eq__ = __lt__ = __gt__ = __le__ = __ge__ = _yes
    def __ne__(self, other): return False
    def _same(self, *a): return self
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = __abs__ = __matmul__ = __and__ = _same
    __class__ = property(lambda self: list)
"""
_CHEATS = {
    "agreeable answers": _AGREEABLE + "def {name}(*a, **k): return Agreeable()\n",
    "agreeable itself": _AGREEABLE + "{name} = Agreeable()\n",
    "an agreeable class": _AGREEABLE + "class {name}(Agreeable): pass\n",
    "agreeable numbers": (
        "class N(int):\n"
        "    def _yes(self, *a): return True\n"
        "    __eq__ = __lt__ = __gt__ = __le__ = __ge__ = __contains__ = _yes\n"
        "    def __ne__(self, other): return False\n"
        "    def __hash__(self): return 0\n"
        "def {name}(*a, **k): return N(1)\n"
    ),
}


@dataclass(slots=True)
class Problem:
    """One problem. `group` is its file's name."""

    group: str
    name: str
    entry_point: str
    prompt: str = ""
    checks: list[str] = field(default_factory=list)
    candidates: list[tuple[Role, str, str]] = field(default_factory=list)  # role, label, source

    def programs(self) -> list[tuple[Role, Program]]:
        return [(role, self._program(f"{role} {label}", source)) for role, label, source in self.candidates]

    def _program(self, label: str, source: str) -> Program:
        return Program(
            f"{self.group}/{self.name}: {label}",
            source,
            tuple(self.checks),
            self.entry_point,
            _LIMITS,
            self.prompt,
        )


def load() -> list[Problem]:
    """All problems, by file and place."""
    return [problem for path in sorted(DATA.glob("*.py")) for problem in _read(path)]


def _read(path: Path) -> list[Problem]:
    problems: list[Problem] = []
    parts = _MARK.split(path.read_text(encoding="utf-8"))[1:]
    for kind, title, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        source = body.rstrip() + "\n"
        if kind == "problem":
            problems.append(Problem(path.stem, *title.split()))
        elif kind == "prompt":
            problems[-1].prompt = source
        elif kind == "check":
            problems[-1].checks.append(source)
        elif kind == "run":
            problems[-1].checks[-1] += _RUN
        elif kind in ("right", "wrong", "cheat"):
            problems[-1].candidates.append((kind, "", source))  # type: ignore[arg-type]
        else:
            raise ValueError(f"{path}: unknown section {kind!r}")
    for problem in problems:
        for label, text in _CHEATS.items():
            problem.candidates.append(("cheat", label, text.format(name=problem.entry_point)))
    return problems
