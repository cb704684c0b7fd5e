"""The corpus of hostile programs, forgeries and correct programs: what its files say (`tests/attacks/README.md`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from assay.sandbox.errors import SandboxError
from assay.sandbox.model import Limits, Mode, Outcome, Program

Kind = Literal["hostile", "forgery", "control"]
DEFAULT_FOLDER = Path(__file__).resolve().parent.parent / "tests" / "attacks"

# What a program may attack, by the number that a file's `# kind:` gives.
WEAKNESSES = {
    1: "chooses its mode",
    2: "reads another's source",
    3: "state across samples",
    4: "answers by call order",
    5: "CPU time charged to nobody",
    6: "a hog beside an innocent",
    7: "infra on purpose",
    8: "the host shows",
    9: "a judge filled by failures",
    10: "handles",
    11: "what checks do around the call",
}

_DEFAULT_CHECK = "assert f(1) == 2"
_OF_A_SAMPLE = ("expect", "check", "limits", "denied", "prelude", "repeat", "stateful")
_OF_A_FILE = ("kind", "modes", "workers", "rounds", "harmful")
_SECTION = re.compile(r"^# sample: (.+)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sample:
    """One program of a file. `must_be_denied` says that its output tells whether it was; `repeat` how often it runs,
    once after the other."""

    program: Program
    expected: frozenset[Outcome]
    must_be_denied: bool = False
    repeat: int = 1


@dataclass(frozen=True, slots=True)
class Attack:
    """One file of the corpus: a program, or a scenario of several.

    A scenario's samples run in one cell, in order, `rounds` times; with more than one of `workers`, side by side in as
    many cells. `weakness` is a key of WEAKNESSES, or None; `modes` are those in which the file means something;
    `harmful` programs are never run outside a cell.
    """

    name: str
    kind: Kind
    samples: tuple[Sample, ...]
    weakness: int | None = None
    modes: tuple[Mode, ...] = get_args(Mode)
    workers: int = 1
    rounds: int = 1
    harmful: bool = False

    @property
    def is_scenario(self) -> bool:
        return len(self.sequence) > 1

    @property
    def program(self) -> Program:
        """The program of a file that holds one."""
        return self.samples[0].program

    @property
    def sequence(self) -> tuple[Sample, ...]:
        """The samples in the order in which they are submitted, each as often as it runs."""
        once = tuple(sample for sample in self.samples for _ in range(sample.repeat))
        return once * self.rounds


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
    """Read one file. SandboxError where its header is wrong."""
    name = f"{kind}/{path.stem}"
    text = path.read_text(encoding="utf-8")
    try:
        return _attack(name, kind, text)
    except (KeyError, ValueError, TypeError) as error:
        raise SandboxError(f"{path}: its header is wrong: {type(error).__name__}: {error}") from error


def _attack(name: str, kind: Kind, text: str) -> Attack:
    """A file's own header stands at its top; in a scenario each sample has a header and a source below its title."""
    top, *sections = _SECTION.split(text)
    header, _ = _split(top, _OF_A_FILE if sections else _OF_A_FILE + _OF_A_SAMPLE)
    if sections:
        titles, sources = sections[::2], sections[1::2]
        samples = [_sample(f"{name}/{title}", source) for title, source in zip(titles, sources, strict=True)]
    else:
        samples = [_sample(name, text)]
    names = [sample.program.id for sample in samples]
    if len(set(names)) < len(names):
        raise ValueError("two samples have the same name")
    weakness = int(header["kind"][0]) if "kind" in header else None
    if weakness is not None:
        WEAKNESSES[weakness]
    modes: Any = tuple(" ".join(header.get("modes", get_args(Mode))).split())
    if not set(modes) <= set(get_args(Mode)):
        raise ValueError(f"unknown mode in {modes}")
    workers, rounds = (int(header.get(key, ["1"])[0]) for key in ("workers", "rounds"))
    return Attack(name, kind, tuple(samples), weakness, modes, workers, rounds, "harmful" in header)


def _sample(name: str, text: str) -> Sample:
    """The candidate does not hold the header: a program that searched its own source would find the answer there."""
    header, candidate = _split(text, _OF_A_FILE + _OF_A_SAMPLE)
    program = Program(
        name,
        candidate,
        ("\n".join(header.get("check", [_DEFAULT_CHECK])),),
        "f",
        Limits(**_numbers(" ".join(header.get("limits", [])))),
        "\n".join(header.get("prelude", [])),
        stateful="stateful" in header,
    )
    expected = frozenset(Outcome(word) for word in " ".join(header["expect"]).split())
    return Sample(program, expected, "denied" in header, int(header.get("repeat", ["1"])[0]))


def _split(text: str, keys: tuple[str, ...]) -> tuple[dict[str, list[str]], str]:
    """The comments at the top that have one of `keys`, and what follows them."""
    header: dict[str, list[str]] = {}
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        key, colon, value = line.removeprefix("# ").rstrip("\n").partition(": ")
        if not (line.startswith("# ") and colon and key in keys):
            return header, "".join(lines[number:])
        header.setdefault(key, []).append(value)
    return header, ""


def _numbers(text: str) -> dict[str, Any]:
    pairs = (word.split("=") for word in text.split())
    return {key: float(value) if key.endswith("_s") else int(value) for key, value in pairs}
