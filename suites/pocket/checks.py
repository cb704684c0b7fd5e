"""Hidden checks: inputs that tell a right body from the plausible wrong ones, as single assertions."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

from assay.suites.pocket.families import Kind
from assay.suites.pocket.operations import Atom, between, pick
from assay.suites.pocket.problems import Task

POOL = 48
CHECKS = 16
FAILED = "<raised>"
LETTERS = "abcdestxyz" + "mnopqr-_!" + "AEIOU  SX" + "aeiou"


class UnusableTaskError(ValueError):
    """The solution raises on an input, or hardly depends on it: no checks could tell right from wrong."""


def _word(rng: random.Random, extra: str, longest: int = 10) -> str:
    text = "".join(pick(rng, LETTERS + extra * 6) for _ in range(between(rng, 0, longest)))
    shape = between(rng, 0, 5)
    return f" {text} " if shape == 0 else text + text[::-1] if shape == 1 else text


def _number(rng: random.Random, near: tuple[int, ...], low: int, high: int) -> int:
    if near and rng.random() < 0.4:
        return pick(rng, near) + between(rng, -1, 1)
    return between(rng, low, high)


def draw_input(rng: random.Random, kind: Kind, numbers: tuple[int, ...], letters: str) -> Any:
    """A value of `kind`, often at or beside one of the task's constants, where wrong bounds show."""
    if kind == "int":
        return _number(rng, (*numbers, 0), -20, 40)
    if kind == "small":
        return between(rng, 0, 14)
    if kind == "digits":
        return between(rng, 0, 10 ** between(rng, 1, 7))
    if kind == "ints":
        return [_number(rng, (*numbers, 0), -9, 15) for _ in range(between(rng, 0, 9))]
    if kind == "str":
        return _word(rng, letters)
    if kind == "dict":
        keys = [_word(rng, letters, 5) for _ in range(between(rng, 0, 7))]
        return {k: _number(rng, (*numbers, 0), -9, 15) for k in keys}
    raise ValueError(f"no inputs of kind {kind!r}")


def outcomes(program: str, name: str, pool: list[tuple[Any, ...]]) -> list[str]:
    """`repr` of what `program` returns on each input, FAILED where it raises. For our own bodies only."""
    space: dict[str, Any] = {}
    try:
        exec(compile(program, "<pocket>", "exec"), space)
    except SyntaxError:
        return [FAILED] * len(pool)
    results = []
    for args in pool:
        fresh = [type(a)(a) for a in args]
        try:
            results.append(repr(space[name](*fresh)))
        except Exception:
            results.append(FAILED)
    return results


def _assertion(name: str, args: tuple[Any, ...], expected: str) -> str:
    """Exact in type where `==` is not: True is not 1, and 2.0 is not 2."""
    call = f"{name}({', '.join(map(repr, args))})"
    if expected in ("True", "False", "None"):
        return f"assert {call} is {expected}"
    if expected.lstrip("-").isdigit():
        return f"assert (got := {call}) == {expected} and type(got) is int"
    return f"assert {call} == {expected}"


def _off_by_one(body: str) -> Iterator[str]:
    """`body` with each number moved by one, except where a loop might then never end."""
    for number in re.finditer(r"\d+", body):
        line = body[body.rfind("\n", 0, number.start()) + 1 : number.start()]
        if "while" not in line:
            for moved in (int(number[0]) - 1, int(number[0]) + 1):
                yield f"{body[: number.start()]}{moved}{body[number.end() :]}"


def _wrong_answers(task: Task, pool: list[tuple[Any, ...]], want: list[str]) -> list[list[str]]:
    """Return what plausible wrong bodies return on the pool: one slip, one number off, or the question ignored."""
    wrong = []
    silent = 0
    for target in dict.fromkeys(task.part.operations):
        if target.slip != target.code:

            def one(a: Atom, target: Atom = target) -> str:
                return a.slip if a == target else a.code

            wrong.append(outcomes(task.prompt + task.body(one), task.name, pool))
            silent += wrong[-1] == want
    if silent > 1:
        raise UnusableTaskError(f"{silent} mistakes would change no answer:\n{task.body()}")
    wrong += [outcomes(task.prompt + body, task.name, pool) for body in _off_by_one(task.body())]
    wrong += [[repr(args[i]) for args in pool] for i in range(len(task.part.args))]
    commonest = max(dict.fromkeys(want), key=want.count)
    wrong += [
        [constant] * len(pool) for constant in (commonest, "None", "[]", "0", "''", "{}", "False", "True")
    ]
    return [answers for answers in wrong if answers != want]


def _pool(rng: random.Random, task: Task, numbers: tuple[int, ...], letters: str) -> list[tuple[Any, ...]]:
    """POOL inputs. A lone integer meets every bound of its task from both sides."""
    kinds = [kind for _, kind in task.part.args]
    pool: list[tuple[Any, ...]] = []
    if kinds == ["int"]:
        pool = [(n,) for n in sorted({bound + d for bound in numbers for d in (-1, 0, 1)} | {-1, 0, 1})]
    while len(pool) < POOL:
        pool.append(tuple(draw_input(rng, kind, numbers, letters) for kind in kinds))
    return pool[:POOL]


def build_checks(task: Task) -> tuple[str, ...]:
    """CHECKS assertions, first those that reject the most wrong bodies. Raises UnusableTaskError."""
    rng = random.Random(f"inputs-{task.prompt}")
    numbers = tuple(n for a in task.part.operations for n in a.numbers)
    letters = "".join(a.letters for a in task.part.operations)
    pool = _pool(rng, task, numbers, letters)
    want = outcomes(task.prompt + task.body(), task.name, pool)
    if FAILED in want:
        raise UnusableTaskError(f"the solution raises on {pool[want.index(FAILED)]!r}:\n{task.body()}")
    if len(set(want)) < (2 if set(want) <= {"True", "False"} else 4) or want.count(want[0]) > POOL - 4:
        raise UnusableTaskError(f"the answers hardly vary ({sorted(set(want))}):\n{task.body()}")
    wrong = _wrong_answers(task, pool, want)
    chosen: list[int] = []
    used: set[str] = set()
    while len(chosen) < CHECKS:
        left = [i for i in range(POOL) if i not in chosen]
        kills = {i: sum(w[i] != want[i] for w in wrong) for i in left}
        best = max(left, key=lambda i: (kills[i], want[i] not in used, -i))
        chosen.append(best)
        used.add(want[best])
        wrong = [w for w in wrong if w[best] == want[best]]
    return tuple(_assertion(task.name, pool[i], want[i]) for i in chosen)
