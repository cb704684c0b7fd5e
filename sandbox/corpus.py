"""The attack corpus: hostile programs, forgeries and correct programs, one file each, with what is expected of them.

A file is a candidate whose leading comments say how it is judged::

    # expect: error timeout        the outcomes that are right
    # check: assert f(1) == 2      its check, a line each (this one when there is none)
    # limits: cpu_s=0.5 wall_s=1   fields of Limits
    # denied: yes                  it prints DENIED when it was kept from what it tried, ALLOWED when it was not
    # prelude: def g(x): return x  the check's own helpers, a line each
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from sandbox.errors import SandboxError
from sandbox.model import Limits, Outcome, Program

Kind = Literal["hostile", "forgery", "control"]
DEFAULT_FOLDER = Path(__file__).resolve().parent.parent / "tests" / "attacks"

_DEFAULT_CHECK = "assert f(1) == 2"
_KEYS = ("expect", "check", "limits", "denied", "prelude")


@dataclass(frozen=True, slots=True)
class Attack:
    """One file of the corpus. `must_be_denied` says that its output tells whether it was."""

    name: str
    kind: Kind
    program: Program
    expected: frozenset[Outcome]
    must_be_denied: bool


def load_corpus(folder: Path = DEFAULT_FOLDER) -> list[Attack]:
    """All attacks below `folder`, by kind and name. SandboxError when there are none or one is malformed."""
    attacks = [
        load_attack(path, kind) for kind in get_args(Kind) for path in sorted((folder / kind).glob("*.py"))
    ]
    if not attacks:
        raise SandboxError(
            f"no attack corpus at {folder}; it lies in a checkout's tests/attacks: pass that folder"
        )
    return attacks


def load_attack(path: Path, kind: Kind) -> Attack:
    source = path.read_text(encoding="utf-8")
    header: dict[str, list[str]] = {}
    for line in source.splitlines():
        key, colon, value = line.removeprefix("# ").partition(": ")
        if not (line.startswith("# ") and colon and key in _KEYS):
            break
        header.setdefault(key, []).append(value)
    try:
        expected = frozenset(Outcome(word) for word in " ".join(header["expect"]).split())
        limits = Limits(**_numbers(" ".join(header.get("limits", []))))
    except (KeyError, ValueError, TypeError) as error:
        raise SandboxError(f"{path}: its header is wrong: {type(error).__name__}: {error}") from error
    program = Program(
        f"{kind}/{path.stem}",
        source,
        ("\n".join(header.get("check", [_DEFAULT_CHECK])),),
        "f",
        limits,
        "\n".join(header.get("prelude", [])),
    )
    return Attack(program.id, kind, program, expected, "denied" in header)


def _numbers(text: str) -> dict[str, Any]:
    pairs = (word.split("=") for word in text.split())
    return {key: float(value) if key.endswith("_s") else int(value) for key, value in pairs}
