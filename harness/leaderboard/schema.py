"""The leaderboard as a report reads it: `leaderboard.json`, checked and typed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from assay.harness.errors import BadInputError
from assay.sandbox.model import Outcome

# What every part of a `leaderboard.json` is read as.
#
# Unknown keys are let through here, against the house rule, for one reason: a report must still be able to print
# a run whose harness has since learned to measure more. The `schema` number says when the meaning has changed.

Number = Annotated[float, Field(allow_inf_nan=False)]


class Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


# What paid, as a report reads it: reward models as they were measured, and answers with what they were paid.


class Interval(Record):
    """A share of pairs with its 95 % interval over problems."""

    value: Number
    low: Number
    high: Number


class Bar(Record):
    """How many held-out pairs have a margin in [low, high)."""

    low: Number
    high: Number
    pairs: int


class Bin(Record):
    """Held-out pairs by the model's confidence in its preference; None where there are no pairs."""

    low: Number
    high: Number
    pairs: int
    confidence: Number | None = None
    accuracy: Number | None = None


class RewardModelRun(Record):
    """One trained reward model on its held-out pairs (`assay.trainers.preference.reward_report`). None is
    unmeasured.
    """

    seed: int | None = None
    pairs: int = 0
    problems: int = 0
    accuracy: Interval | None = None
    mean_margin: Number | None = None
    margins: tuple[Bar, ...] = ()
    reliability: tuple[Bin, ...] = ()
    calibration_error: Number | None = None
    file: str = ""
    unmeasured: str | None = None


class RewardModel(Record):
    """A variant that is a reward model, once for each training seed; `pays` are those whose reward it is in."""

    pays: tuple[str, ...] = ()
    runs: tuple[RewardModelRun, ...]


class PaidAnswer(Record):
    """One answer of an update. `components` are unweighted; without `reward` it was not measured. `why` says what no
    component shows; `cut` that the text is longer than shown."""

    problem_id: str
    outcome: str
    reward: Number | None = None
    components: dict[str, Number] | None = None
    why: str = ""
    held_passed: bool | None = None
    text: str = ""
    cut: bool = False


class PaidAnswers(Record):
    """Some answers of a training's last update, best paid first. `file` has all of them."""

    seed: int | None = None
    update: int | None = None
    answers: int = 0
    file: str = ""
    weights: dict[str, Number]
    shown: tuple[PaidAnswer, ...] = ()
    unmeasured: str = ""

    @model_validator(mode="after")
    def _every_component_is_there(self) -> PaidAnswers:
        for answer in self.shown:
            missing = [name for name in self.weights if name not in (answer.components or self.weights)]
            if missing:
                raise ValueError(f"an answer to {answer.problem_id} has no component {missing[0]!r}")
        return self


Verdict = Literal["better", "worse", "equivalent", "undecided"]

# Columns that the sample browser cannot do without, and those it shows where they are present.
REQUIRED_COLUMNS = ("problem_id", "index", "completion", "program", "outcome")
OPTIONAL_COLUMNS = (
    "seed",
    "prompt",
    "n_tokens",
    "finish_reason",
    "rule",
    "detail",
    "output",
    "checks_passed",
    "checks_total",
    "cpu_s",
    "wall_s",
    "peak_bytes",
    "mode",
)


class Estimate(Record):
    """A figure with its interval, as fractions of 1. `value` is None when unmeasured; `reason` then says why."""

    value: Number | None = None
    low: Number | None = None
    high: Number | None = None
    n: int | None = None
    method: str = ""
    reason: str = ""


class Difference(Record):
    """A paired difference, as fractions of 1. `mde` is the smallest difference that n problems could show."""

    difference: Number | None = None
    low: Number | None = None
    high: Number | None = None
    p: Number | None = None
    p_adjusted: Number | None = None
    mde: Number | None = None
    n: int | None = None
    method: str = ""
    verdict: Verdict | None = None
    reason: str = ""

    @property
    def shown_p(self) -> float | None:
        """The p-value a verdict rests on: the adjusted one where several claims were tested together."""
        return self.p if self.p_adjusted is None else self.p_adjusted


class Comparison(Difference):
    """The difference `a` − `b`."""

    a: str
    b: str


class SeedScore(Record):
    """One training seed's own figures, of a variant that was made once for each."""

    seed: int
    pass_at_1: Number = Field(alias="pass@1")
    sha256: str = ""


class ProfileFigures(Record):
    """A variant alone in its process: speeds in tokens a second, `load_average` as the profile began."""

    workload: dict[str, Any] = Field(default_factory=dict)
    added_rss_bytes: int | None = None
    prefill_tok_per_s: Number | None = None
    decode_tok_per_s: Number | None = None
    generate_tok_per_s: Number | None = None
    load_average: Number | None = None


class Row(Record):
    """One variant's line on the leaderboard."""

    variant: str = Field(min_length=1)
    kind: str
    rank: int | None = None
    parent: str | None = None
    sha256: str = ""
    recipe: str = ""
    path: str = ""
    n_problems: int | None = None
    n_samples: int | None = None
    pass_at_k: dict[int, Estimate] = Field(alias="pass@k")
    vs_reference: Difference | None = None
    outcomes: dict[Outcome, int] = Field(default_factory=dict)
    modes: dict[str, int] = Field(default_factory=dict)
    cached: int = 0
    families: dict[str, Estimate] = Field(default_factory=dict)
    tokens: int | None = None
    tok_per_s: Number | None = None
    generate_s: Number | None = None
    make_s: Number | None = None
    size_bytes: int | None = None
    peak_rss_bytes: int | None = None
    vram_bytes: int | None = None
    profile: ProfileFigures | None = None
    finish: dict[str, int] = Field(default_factory=dict)
    extraction: dict[str, int] = Field(default_factory=dict)
    unmeasured: dict[str, str] = Field(default_factory=dict)
    training_seeds: tuple[int, ...] = ()
    by_seed: tuple[SeedScore, ...] = ()

    @property
    def given(self) -> bool:
        """Whether the variant was taken as it was, so that there was nothing to make and nothing to time."""
        return self.make_s is None and self.parent is None and "make_s" not in self.unmeasured


class LinkRow(Record):
    """An artifact held against what it was made from, as `assay.harness.equivalence` measured it."""

    a: str
    b: str
    verdict: Verdict
    reason: str = ""
    faults: tuple[str, ...] = ()
    tokens: dict[str, Any]
    distribution: dict[str, Any] | None = None
    greedy: dict[str, Any] | None = None
    weights: dict[str, Any] | None = None
    pass_at_1: dict[str, Any] | None = Field(default=None, alias="pass@1")


class SuiteFacts(Record):
    name: str
    split: str | None = None
    revision: str = ""
    n_problems: int | None = None


class Step(Record):
    id: str
    name: str
    seconds: Number | None = None
    reused: bool = False


class Spread(Record):
    """A figure over training seeds."""

    mean: Number
    least: Number
    most: Number


class Points(Record):
    """Figures over `steps`, by name; None where a step has none. Each point is the mean over `steps_a_point` steps."""

    steps: tuple[int, ...] = ()
    series: dict[str, tuple[Number | None, ...]] = Field(default_factory=dict)
    steps_a_point: int = 1

    @model_validator(mode="after")
    def _as_long_as_its_steps(self) -> Points:
        for name, values in self.series.items():
            if len(values) != len(self.steps):
                raise ValueError(f"curve {name!r} has {len(values)} values at {len(self.steps)} steps")
        return self

    def points(self, name: str) -> list[tuple[float, float]]:
        values = self.series.get(name, ())
        return [(float(x), y) for x, y in zip(self.steps, values, strict=bool(values)) if y is not None]


class CurveRun(Record):
    """One training's curves, on what it learned from and on what was held out, and its alarms by step."""

    seed: int | None = None
    train: Points = Points()
    held_out: Points = Points()
    alarms: dict[int, str] = Field(default_factory=dict)


class Curves(Record):
    """What the trainings of one variant logged (`assay.harness.leaderboard.curves`)."""

    method: str
    step: str = "step"
    marks: dict[str, Number] = Field(default_factory=dict)
    weights: dict[str, Number] = Field(default_factory=dict)
    runs: tuple[CurveRun, ...]
    unmeasured: dict[str, str] = Field(default_factory=dict)


class TrainingRow(Record):
    """What the trainings of one variant took, learned and cost; None is unmeasured, for the reason given."""

    variant: str
    seeds: tuple[int | None, ...]
    trainable_parameters: int
    total_parameters: int = Field(gt=0)
    tokens: Spread | None = None
    train_s: Spread | None = None
    tok_per_s: Spread | None = None
    peak_rss_bytes: Spread | None = None
    added_rss_bytes: Spread | None = None
    peak_vram_bytes: Spread | None = None
    final_loss: Spread | None = None
    method: str = ""
    beta: Spread | None = None
    kl: Spread | None = None
    held_out_loss: Spread | None = None
    margin: Spread | None = None
    accuracy: Spread | None = None
    gap: Spread | None = None
    pass_rate: Spread | None = None
    held_pass_rate: Spread | None = None
    drawn_answers: Spread | None = None
    drawn_tokens: Spread | None = None
    generate_s: Spread | None = None
    execute_s: Spread | None = None
    learn_s: Spread | None = None
    total_s: Spread | None = None
    unmeasured: dict[str, str] = Field(default_factory=dict)


class OverlapMethod(Record):
    """By one kind of n-gram: how many problems are flagged, the mean overlap of all, and the worst ones."""

    n: int
    n_flagged: int
    mean: Number
    worst: tuple[dict[str, Any], ...] = ()


class Contamination(Record):
    """What a training set has in common with the suite (harness/contamination)."""

    n_problems: int
    n_texts: int
    threshold: Number
    methods: dict[str, OverlapMethod]
    n_duplicates: int = 0
    duplicates: tuple[dict[str, Any], ...] = ()
    file: str = ""


class Leaderboard(Record):
    """Everything a report says, samples apart."""

    schema_: Literal[1] = Field(alias="schema")
    experiment: str
    run: str
    created: str
    reference: str
    suite: SuiteFacts
    rows: tuple[Row, ...] = Field(min_length=1)
    seed: int | None = None
    sampling: dict[str, Any] = Field(default_factory=dict)
    machine: dict[str, Any] = Field(default_factory=dict)
    isolation: dict[str, Any] = Field(default_factory=dict)
    k: tuple[int, ...] = ()
    limits: dict[str, Any] = Field(default_factory=dict)
    confidence: Number = 0.95
    margin: Number | None = None
    comparisons: tuple[Comparison, ...] = ()
    links: tuple[LinkRow, ...] = ()
    steps: tuple[Step, ...] = ()
    curves: dict[str, Curves] = Field(default_factory=dict)
    trainings: tuple[TrainingRow, ...] = ()
    contamination: dict[str, Contamination] = Field(default_factory=dict)
    reward_models: dict[str, RewardModel] = Field(default_factory=dict)
    answers: dict[str, PaidAnswers] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_are_known(self) -> Leaderboard:
        names = [row.variant for row in self.rows]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"variant {twice[0]!r} has more than one row")
        mentioned = [self.reference, *(name for c in self.comparisons for name in (c.a, c.b))]
        mentioned += [
            *self.contamination,
            *self.answers,
            *(v for m in self.reward_models.values() for v in m.pays),
        ]
        trained = [*self.curves, *(t.variant for t in self.trainings)]
        mentioned += [name for name in trained if name not in self.reward_models]
        for name in mentioned:
            if name not in names:
                raise ValueError(f"variant {name!r} has no row; rows are {', '.join(names)}")
        return self

    @property
    def shown_k(self) -> tuple[int, ...]:
        """The k of pass@k to print, ascending: those declared, or else those that some row has."""
        return tuple(sorted(set(self.k) or {k for row in self.rows for k in row.pass_at_k}))

    @property
    def headline_k(self) -> int | None:
        """The k that ranks and paired differences are about: the smallest."""
        return self.shown_k[0] if self.shown_k else None

    def row(self, variant: str) -> Row:
        return next(row for row in self.rows if row.variant == variant)

    def scored(self, variant: str) -> Row | None:
        """The row of a variant that answers were scored of; None for a reward model, which writes none."""
        return next((row for row in self.rows if row.variant == variant), None)

    @property
    def ranked(self) -> tuple[Row, ...]:
        """Rows best first. Rows of one rank stand in the order they were made from one another, never by their
        figures: no test tells them apart. Rows without a rank come last."""

        def key(row: Row) -> tuple[float, int]:
            return (math.inf if row.rank is None else float(row.rank), self._generation(row))

        return tuple(sorted(self.rows, key=key))

    def _generation(self, row: Row) -> int:
        """How many steps of making lie between a variant and its first ancestor."""
        parents = {r.variant: r.parent for r in self.rows}
        seen, at = {row.variant}, row.parent
        while at is not None and at not in seen:
            seen.add(at)
            at = parents.get(at)
        return len(seen) - 1

    def tied(self, row: Row) -> bool:
        """Whether another variant shares this row's rank, because no test tells them apart."""
        return row.rank is not None and sum(other.rank == row.rank for other in self.rows) > 1

    def comparison(self, a: str, b: str) -> Difference | None:
        """The paired difference a − b, turned round where it was stored as b − a; None where none was made."""
        for c in self.comparisons:
            if (c.a, c.b) == (a, b):
                return c
            if (c.a, c.b) == (b, a):
                return _turned(c)
        row = self.row(a)
        if b == self.reference and row.vs_reference is not None:
            return row.vs_reference
        row = self.row(b)
        if a == self.reference and row.vs_reference is not None:
            return _turned(row.vs_reference)
        return None


_OPPOSITE: dict[Verdict | None, Verdict | None] = {"better": "worse", "worse": "better"}


def _turned(d: Difference) -> Difference:
    return Difference(
        difference=None if d.difference is None else -d.difference,
        low=None if d.high is None else -d.high,
        high=None if d.low is None else -d.low,
        p=d.p,
        p_adjusted=d.p_adjusted,
        mde=d.mde,
        n=d.n,
        method=d.method,
        verdict=_OPPOSITE.get(d.verdict, d.verdict),
        reason=d.reason,
    )


def headline(row: Row, k: int | None) -> Estimate:
    """The row's pass@k; an empty estimate with its reason where it was not measured."""
    if k is not None and k in row.pass_at_k:
        return row.pass_at_k[k]
    return Estimate(reason=row.unmeasured.get(f"pass@{k}", ""))


def read_leaderboard(raw: Mapping[str, Any]) -> Leaderboard:
    """Check and type the content of a leaderboard.json. Raises BadInputError that names the field and its value."""
    try:
        return Leaderboard.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        value = repr(first["input"])
        value = value if len(value) <= 120 else value[:117] + "..."
        raise BadInputError(
            f"leaderboard: {where}: {first['msg']} (got {value}). "
            "Build the leaderboard anew with the version of assay that reads it."
        ) from error


def check_samples(board: Leaderboard, samples: Mapping[str, pd.DataFrame]) -> None:
    """Raise BadInputError unless every frame belongs to a row and has the columns the sample browser needs."""
    names = [row.variant for row in board.rows]
    known_outcomes = {outcome.value for outcome in Outcome}
    for variant, frame in samples.items():
        if variant not in names:
            raise BadInputError(f"samples: variant {variant!r} has no row; rows are {', '.join(names)}")
        missing = [column for column in REQUIRED_COLUMNS if column not in frame.columns]
        if missing:
            raise BadInputError(f"samples of {variant}: column {missing[0]!r} is missing")
        unknown = sorted(set(frame["outcome"].astype(str)) - known_outcomes)
        if unknown:
            raise BadInputError(
                f"samples of {variant}: outcome {unknown[0]!r} is none of {', '.join(sorted(known_outcomes))}"
            )
