"""Build preferences from executed answers: pass against fail within a problem, better against worse among passes."""

from __future__ import annotations

import difflib
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, groupby, islice, product
from typing import Literal

from assay.trainers.data.preferences import Answer, LabeledCompletion, Pair, Source
from assay.trainers.errors import MissingExtraError
from assay.trainers.preference.quality import Quality, measure_all

ENOUGH = 50
MEASURED = ("pass", "fail", "error", "timeout", "memory", "output")
SLOWER = 3.0  # a program is slower where it takes this many times the CPU, and
SLOWER_S = 0.02  # this much more: below it the clock says nothing
Match = Literal["random", "nearest"]


@dataclass(slots=True)
class Built:
    """The preferences built. `dropped` counts answers and pairs left out, by reason; `mixed` counts the problems with
    passing and failing answers.

    `agreement`: of the `compared` pass × fail pairs in which one program is better by the rubric in something and worse
    in nothing, the share in which that is the one that passes. It is None where there is none to compare, or where
    `unmeasured` gives the reason.
    """

    pairs: list[Pair] = field(default_factory=list)
    opinions: list[LabeledCompletion] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    problems: int = 0
    mixed: int = 0
    agreement: float | None = None
    compared: int = 0
    unmeasured: str = ""

    def warnings(self) -> list[str]:
        """Return warnings: too few preferences, and an agreement that could not be measured."""
        count, what = len(self.pairs), "pairs"
        if not self.pairs and self.opinions:
            count, what = len(self.opinions), "opinions"
        return few(count, what) + self.notes()

    def notes(self) -> list[str]:
        """Return the warning about an agreement that could not be measured; empty where it could."""
        note = f"agreement of quality with execution unmeasured: {self.unmeasured}"
        return [note] if self.unmeasured else []


def few(count: int, what: str = "pairs") -> list[str]:
    """Return the warning about fewer than 50 preferences; empty where there are enough."""
    if count >= ENOUGH:
        return []
    return [
        f"only {count} {what}, fewer than {ENOUGH}: what is learned from so few is mostly noise. More problems, more "
        "samples a problem or a higher temperature give more"
    ]


def build(
    answers: Iterable[Answer],
    *,
    kinds: Sequence[str] = ("execution",),
    per_problem: int = 4,
    match: Match = "nearest",
    seed: int = 0,
) -> Built:
    """Build pairs and opinions from `answers` (all problems together, in any order). Raises MissingExtraError.

    A problem gives pass × fail pairs only where 0 < passes < answers. Each passing text is used once a round, `nearest`
    with the failing one most like it, so that a pair differs in what matters. Left out, and counted: `infra` (not
    measured), answers cut at their length limit (a chat template would end them where the model did not), texts that
    came twice, and programs with both verdicts. Quality pairs need ruff and radon; without them pairs by execution are
    built all the same, and only their agreement with quality is unmeasured.
    """
    built = Built()
    groups = {name: _usable(group, built.dropped) for name, group in _by_problem(answers).items()}
    quality = _measured(groups.values(), built, needed="quality" in kinds)
    for problem_id, usable in groups.items():
        built.problems += 1
        passing, failing = [a for a in usable if a.passed], [a for a in usable if not a.passed]
        built.opinions += [
            LabeledCompletion(problem_id, a.prompt, a.text, a.passed, Source.of(a)) for a in usable
        ]
        rng = random.Random(f"{seed}/{problem_id}")
        if passing and failing:
            built.mixed += 1
            if "execution" in kinds:
                built.pairs += _matched(passing, failing, per_problem, match, rng)
            _agree(passing, failing, quality, built)
        if "quality" in kinds:
            built.pairs += list(_quality_pairs(passing, quality, per_problem, rng))
    if built.compared:
        built.agreement = (built.agreement or 0.0) / built.compared
    return built


def _measured(groups: Iterable[Sequence[Answer]], built: Built, *, needed: bool) -> dict[str, Quality]:
    """Return the quality of every program that a pair may hold, by its text; those that do not parse are left out."""
    programs = {
        answer.program
        for group in groups
        if needed or len({answer.passed for answer in group}) == 2
        for answer in group
    }
    try:
        qualities = measure_all(sorted(programs))
    except MissingExtraError as error:
        if needed:
            raise
        built.unmeasured = str(error)
        return {}
    return {program: q for program, q in zip(sorted(programs), qualities, strict=True) if q is not None}


def _by_problem(answers: Iterable[Answer]) -> dict[str, list[Answer]]:
    ordered = sorted(answers, key=lambda a: (a.problem_id, a.index))
    return {name: list(group) for name, group in groupby(ordered, key=lambda a: a.problem_id)}


def _usable(group: Sequence[Answer], dropped: Counter[str]) -> list[Answer]:
    judged: dict[str, set[bool]] = {}
    for answer in group:
        if answer.outcome in MEASURED:
            judged.setdefault(answer.program.strip(), set()).add(answer.passed)
    usable, seen = [], set()
    for answer in group:
        text = answer.text.rstrip()
        if answer.outcome not in MEASURED:
            dropped["infra: not measured"] += 1
        elif not answer.finished:
            dropped["cut at the length limit"] += 1
        elif len(judged[answer.program.strip()]) > 1:
            dropped["the same program passed and failed"] += 1
        elif not text:
            dropped["empty"] += 1
        elif text in seen:
            dropped["came twice"] += 1
        else:
            seen.add(text)
            usable.append(answer)
    return usable


def _matched(
    passing: list[Answer], failing: list[Answer], count: int, match: Match, rng: random.Random
) -> Iterator[Pair]:
    """Yield up to `count` pairs, with no answer in two of them before each of its side is in one."""
    passing, failing = _shuffled(passing, rng), _shuffled(failing, rng)
    left: list[Answer] = []
    paired: set[tuple[int, int]] = set()
    for round_ in range(min(count, len(passing) * len(failing))):
        chosen = passing[round_ % len(passing)]
        left = left or list(failing)
        free = [f for f in left if (chosen.index, f.index) not in paired]
        free = free or [f for f in failing if (chosen.index, f.index) not in paired]
        if not free:
            continue
        rejected = free[round_ % len(free)]
        if match == "nearest":
            rejected = max(free, key=partial(_likeness, chosen))
        left = [f for f in left if f is not rejected]
        paired.add((chosen.index, rejected.index))
        reason = f"pass against {rejected.outcome} ({rejected.checks_passed}/{rejected.checks_total} checks)"
        yield _pair("execution", chosen, rejected, reason)


def _quality_pairs(
    passing: list[Answer], quality: Mapping[str, Quality], count: int, rng: random.Random
) -> Iterator[Pair]:
    """Yield pairs of programs that pass, one better in something and worse in nothing: lint findings, cyclomatic
    complexity, docstring, run time."""
    pairs = combinations(_shuffled(passing, rng), 2)
    both_ways = ((better, worse) for one, other in pairs for better, worse in ((one, other), (other, one)))
    better_ones = ((b, w, reason) for b, w in both_ways if (reason := _better(b, w, quality)))
    for better, worse, reason in islice(better_ones, count):
        yield _pair("quality", better, worse, reason)


def _better(one: Answer, other: Answer, quality: Mapping[str, Quality]) -> str:
    """Return in what `one` is better than `other`; empty where in nothing, or where it is worse in something."""
    a, b = quality.get(one.program), quality.get(other.program)
    if a is None or b is None:
        return ""
    timed = {f"CPU {one.cpu_s:.3f} s against {other.cpu_s:.3f} s": _faster(one.cpu_s, other.cpu_s)}
    return _in_favour(_by_rubric(a, b) | timed)


def _by_rubric(a: Quality, b: Quality) -> dict[str, int]:
    """Return where `a` is better (above 0) or worse (below) than `b` by its source alone."""
    return {
        f"lint {a.lint} against {b.lint}": b.lint - a.lint,
        f"complexity {a.complexity} against {b.complexity}": b.complexity - a.complexity,
        "docstring": int(a.docstring) - int(b.docstring),
    }


def _in_favour(signs: dict[str, int]) -> str:
    """Return the aspects that are better, or nothing where one is worse."""
    return "" if min(signs.values()) < 0 else ", ".join(text for text, sign in signs.items() if sign > 0)


def _faster(a: float, b: float) -> int:
    quick, slow = min(a, b), max(a, b)
    if slow < SLOWER * quick or slow - quick < SLOWER_S:
        return 0
    return 1 if a < b else -1


def _agree(
    passing: Sequence[Answer], failing: Sequence[Answer], quality: Mapping[str, Quality], built: Built
) -> None:
    """Count the pass × fail pairs in which the rubric has a preference, and in how many it prefers the pass.

    By the rule that makes quality pairs, without the run time, since a failure may be quick.
    """
    for p, f in product(passing, failing):
        a, b = quality.get(p.program), quality.get(f.program)
        if a is None or b is None:
            continue
        agrees = bool(_in_favour(_by_rubric(a, b)))
        if agrees or _in_favour(_by_rubric(b, a)):
            built.compared += 1
            built.agreement = (built.agreement or 0.0) + agrees


def _pair(kind: Literal["execution", "quality"], chosen: Answer, rejected: Answer, reason: str) -> Pair:
    return Pair(
        chosen.problem_id,
        kind,
        chosen.prompt,
        chosen.text.rstrip(),
        rejected.text.rstrip(),
        reason,
        Source.of(chosen),
        Source.of(rejected),
    )


def _likeness(a: Answer, b: Answer) -> float:
    return difflib.SequenceMatcher(None, a.text, b.text, autojunk=False).ratio()


def _shuffled(answers: list[Answer], rng: random.Random) -> list[Answer]:
    return rng.sample(answers, len(answers))
