"""Tasks: a Part with a name and a sentence. Which split a task is in depends on its operation skeleton alone."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from assay.suites.pocket.families import (
    HELD_OUT_PAIRS,
    SINGLE,
    TRAINED_PAIRS,
    Chooser,
    Pair,
    Part,
    pair_part,
    right,
)
from assay.suites.pocket.operations import chance, pick

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
INDENT = "    "
REQUEST = "Write the body of this function.\n"
NAMES = ("solve", "compute", "answer", "result", "run", "find", "get", "make", "apply", "work")


@dataclass(frozen=True, slots=True)
class Task:
    """One function to write. `family` starts with `compose/` where its two stages never met in training."""

    family: str
    name: str
    part: Part

    @property
    def skeleton(self) -> str:
        return f"{self.family}:{self.part.key}"

    @property
    def prompt(self) -> str:
        """Signature and docstring: what a bare completion continues."""
        args = ", ".join(name for name, _ in self.part.args)
        return f'def {self.name}({args}):\n{INDENT}"""{self.part.sentence}"""\n'

    @property
    def instruction(self) -> str:
        """The chat user's message; the expected reply is the indented body and nothing else."""
        return REQUEST + self.prompt.rstrip("\n")

    def body(self, choose: Chooser = right) -> str:
        """The indented body. With the default `choose` it is the canonical solution."""
        return "".join(f"{INDENT}{line}\n" for line in self.part.lines(choose))


def split_of(skeleton: str) -> Split:
    """80 % of skeletons train, 10 % dev, 10 % test, by sha256: no skeleton is in two splits."""
    bucket = int.from_bytes(hashlib.sha256(skeleton.encode()).digest()[:8]) % 10
    return "test" if bucket == 0 else "dev" if bucket == 1 else "train"


def _pair_name(pair: Pair) -> str:
    return f"{pair[0]}+{pair[1]}"


def _draw(rng: random.Random, split: Split) -> Task:
    """A task of any skeleton: singles, pairs seen in training, and outside training pairs never seen there."""
    name = pick(rng, NAMES)
    if chance(rng, 0.6):
        family = pick(rng, tuple(SINGLE))
        return Task(family, name, SINGLE[family](rng))
    if split == "train" or chance(rng, 0.4):
        pair = pick(rng, TRAINED_PAIRS)
        return Task(f"pair/{_pair_name(pair)}", name, pair_part(rng, pair))
    pair = pick(rng, HELD_OUT_PAIRS)
    return Task(f"compose/{_pair_name(pair)}", name, pair_part(rng, pair))


def tasks(split: Split, seed: int) -> Iterator[Task]:
    """Endless tasks of one split, no two of them with the same sentence; the same seed gives the same tasks."""
    rng = random.Random(f"pocket-{split}-{seed}")
    seen: set[str] = set()
    while True:
        task = _draw(rng, split)
        if split_of(task.skeleton) == split and task.part.sentence not in seen:
            seen.add(task.part.sentence)
            yield task
