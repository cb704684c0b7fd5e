"""The leaderboard's one description: what `build` returns, what reports read, and what `leaderboard.json` holds.

`Leaderboard.to_json` is the file; `read_leaderboard` checks and types a file from disk, those of earlier versions too.
Unknown keys are let through there, against the rule for files, for one reason: a report must still be able to print a
run whose harness has since learned to measure more. The `schema` number says when the meaning of a key has changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from assay.harness.errors import BadInputError
from assay.sandbox.model import Outcome

Number = Annotated[float, Field(allow_inf_nan=False)]
Verdict = Literal["better", "worse", "equivalent", "undecided"]
_OPPOSITE: dict[Verdict | None, Verdict | None] = {"better": "worse", "worse": "better"}
# Why a training has no such figure where its method has none at all, which is another thing than one left unmeasured.
HAS_NONE = "the method has none"
NOT_PREFERENCE = "the method has no pairs"
NOT_RL = "the method is not paid by checks"
WRITES_NONE = "a reward model writes no answers"
NO_DRAWS = "the method draws no answers: it learns from given ones"
NO_SUCH_FIGURE = (HAS_NONE, NOT_PREFERENCE, NOT_RL, WRITES_NONE, NO_DRAWS)


class Record(BaseModel):
    """A part of the leaderboard. Constructed with a field's name, read and written with its key in the file."""

    model_config = ConfigDict(extra="ignore", frozen=True, ser_json_inf_nan="constants")

    def to_json(self) -> dict[str, Any]:
        """The part as `leaderboard.json` holds it: the keys that were given, and none that only have a default."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _key(name: str, field: str, **options: Any) -> Any:
    """A field whose key in the file is `name`, which no identifier can be."""
    return Field(validation_alias=AliasChoices(name, field), serialization_alias=name, **options)


class Interval(Record):
    """A share of pairs with its 95 % interval over problems."""

    value: Number
    low: Number
    high: Number


class Bar(Record):
    """The number of held-out pairs whose margin lies in [low, high)."""

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
    scores: dict[str, Number] | None = None
    unmeasured: str | None = None
    file: str = ""


class RewardModel(Record):
    """A variant that is a reward model, once for each training seed; `pays` are those whose reward it is in."""

    pays: tuple[str, ...] = ()
    runs: tuple[RewardModelRun, ...]


class PaidAnswer(Record):
    """One answer of an update. `components` are unweighted; without `reward` it was not measured. `reason` says what no
    component shows, `cut` that the text is longer than shown."""

    problem_id: str
    outcome: str
    reward: Number | None = None
    components: dict[str, Number] | None = None
    reason: str = _key("why", "reason", default="")
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


class Estimate(Record):
    """A figure with its interval, as fractions of 1. `value` is None when unmeasured; `reason` then says why."""

    value: Number | None = None
    low: Number | None = None
    high: Number | None = None
    n: int | None = None
    method: str = ""
    se: Number | None = None
    se_sampling: Number | None = None
    reason: str = ""


class Precision(Record):
    """The standard error of a difference and its parts (squares add up), as fractions of 1, and what would show a
    difference of `target`: that many samples a problem, training seeds or problems, the rest as it is."""

    se: Number | None = None
    problems: Number | None = None
    sampling: Number | None = None
    seeds: Number | None = None
    target: Number | None = None
    samples_for_target: int | None = None
    seeds_for_target: int | None = None
    problems_for_target: int | None = None


class Difference(Record):
    """The paired difference `a` − `b`, as fractions of 1. `mde` is the smallest difference that n problems could show;
    `lower` and `upper` are its strict one-sided bounds, on which "equivalent" rests; `precision` says where its noise
    comes from, for those against the reference. `reason` says why nothing was measured."""

    a: str = ""
    b: str = ""
    difference: Number | None = None
    low: Number | None = None
    high: Number | None = None
    p: Number | None = None
    p_adjusted: Number | None = None
    mde: Number | None = None
    n: int | None = None
    method: str = ""
    verdict: Verdict | None = None
    lower: Number | None = None
    upper: Number | None = None
    precision: Precision | None = None
    reason: str = ""

    def turned(self) -> Difference:
        """The same comparison as `b` − `a`."""
        changed = {
            "a": self.b,
            "b": self.a,
            "difference": None if self.difference is None else -self.difference,
            "low": None if self.high is None else -self.high,
            "high": None if self.low is None else -self.low,
            "lower": None if self.upper is None else -self.upper,
            "upper": None if self.lower is None else -self.lower,
            "verdict": _OPPOSITE.get(self.verdict, self.verdict),
        }
        return self.model_copy(update=changed)


class StepFacts(Record):
    """The step that made an artifact, when it finished, and the machine it ran on."""

    name: str
    id: str
    finished: str
    machine: dict[str, Any]


class SeedScore(Record):
    """One training seed's own figures, of a variant that was made once for each."""

    seed: int
    sha256: str = ""
    path: str = ""
    pass_at_1: Number = _key("pass@1", "pass_at_1")
    step: StepFacts | None = None


class ProfileFigures(Record):
    """A variant alone in its process: speeds in tokens a second, `load_average` as the profile began."""

    workload: dict[str, Any] = Field(default_factory=dict)
    load_average: Number | None = None
    added_rss_bytes: int | None = None
    prefill_tok_per_s: Number | None = None
    decode_tok_per_s: Number | None = None
    generate_tok_per_s: Number | None = None


class Row(Record):
    """One variant's line on the leaderboard."""

    variant: str = Field(min_length=1)
    kind: str
    rank: int | None = None
    parent: str | None = None
    training_seeds: tuple[int, ...] = ()
    sha256: str = ""
    recipe: str = ""
    path: str = ""
    n_problems: int | None = None
    n_samples: int | None = None
    pass_at_k: dict[int, Estimate] = _key("pass@k", "pass_at_k")
    vs_reference: Difference | None = None
    outcomes: dict[Outcome, int] = Field(default_factory=dict)
    modes: dict[str, int] = Field(default_factory=dict)
    near_limit: int = 0
    not_data: dict[str, int] = Field(default_factory=dict)
    cached: int = 0
    families: dict[str, Estimate] = Field(default_factory=dict)
    tokens: int | None = None
    tok_per_s: Number | None = None
    generate_s: Number | None = None
    backend: str = ""
    make_s: Number | None = None
    size_bytes: int | None = None
    peak_rss_bytes: int | None = None
    vram_bytes: int | None = None
    profile: ProfileFigures | None = None
    finish: dict[str, int] = Field(default_factory=dict)
    extraction: dict[str, int] = Field(default_factory=dict)
    unmeasured: dict[str, str] = Field(default_factory=dict)
    step: StepFacts | None = None
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
    structure: tuple[str, ...] = ()
    tokens: dict[str, Any]
    weights: dict[str, Any] | None = None
    distribution: dict[str, Any] | None = None
    greedy: dict[str, Any] | None = None
    pass_at_1: dict[str, Any] | None = _key("pass@1", "pass_at_1", default=None)
    unmeasured: dict[str, str] = Field(default_factory=dict)


class SuiteFacts(Record):
    """The suite, as it was found (`name`) and as the experiment calls it (`registered`). `unmeasured` are the problems
    with which nothing can be measured, and why: their samples were not executed, and count in no figure."""

    name: str
    registered: str = ""
    limit: int | None = None
    split: str | None = None
    revision: str = ""
    n_problems: int | None = None
    unmeasured: dict[str, str] = Field(default_factory=dict)


class Step(Record):
    """A step of the run; `reused` where an earlier run had done it."""

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
        """Return (step, figure) where the series has one."""
        values = self.series.get(name, ())
        return [(float(x), y) for x, y in zip(self.steps, values, strict=bool(values)) if y is not None]


class CurveRun(Record):
    """One training's curves, on what it learned from and on what was held out, and its alarms by step."""

    seed: int | None = None
    train: Points = Points()
    held_out: Points = Points()
    alarms: dict[int, str] = Field(default_factory=dict)


class Curves(Record):
    """The logs of the trainings of one variant (`assay.harness.leaderboard.curves`)."""

    method: str
    step: str = "step"
    marks: dict[str, Number] = Field(default_factory=dict)
    weights: dict[str, Number] = Field(default_factory=dict)
    runs: tuple[CurveRun, ...]
    unmeasured: dict[str, str] = Field(default_factory=dict)


class TrainingRow(Record):
    """The duration, result and cost of the trainings of one variant; None is unmeasured, for the reason given.

    `runs` has the figures of each training by itself."""

    variant: str
    method: str = ""
    seeds: tuple[int | None, ...]
    trainable_parameters: int
    total_parameters: int = Field(gt=0)
    effective_batch: int | None = None
    dtype: str = ""
    data_sha256: str = ""
    data_counts: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    train_s: Spread | None = None
    tok_per_s: Spread | None = None
    peak_rss_bytes: Spread | None = None
    added_rss_bytes: Spread | None = None
    peak_vram_bytes: Spread | None = None
    final_loss: Spread | None = None
    tokens: Spread | None = None
    steps: Spread | None = None
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
    runs: tuple[dict[str, Any], ...] = ()


class OverlapMethod(Record):
    """The overlap by one kind of n-gram: problems flagged, the mean of all, and the worst ones."""

    n: int
    n_flagged: int
    mean: Number
    worst: tuple[dict[str, Any], ...] = ()


class Contamination(Record):
    """The overlap of a training set with the suite (`assay.harness.evaluation.contamination`)."""

    suite: str = ""
    suite_revision: str = ""
    n_problems: int
    n_texts: int
    n_tokens: int | None = None
    threshold: Number
    methods: dict[str, OverlapMethod]
    n_duplicates: int = 0
    duplicates: tuple[dict[str, Any], ...] = ()
    seconds: Number | None = None
    variant: str = ""
    records: str = ""
    file: str = ""


class Leaderboard(Record):
    """Everything a report says, samples apart."""

    schema_: Literal[1] = _key("schema", "schema_")
    experiment: str
    run: str
    created: str
    seed: int | None = None
    training_seeds: tuple[int, ...] = ()
    reference: str
    suite: SuiteFacts
    sampling: dict[str, Any] = Field(default_factory=dict)
    machine: dict[str, Any] = Field(default_factory=dict)
    isolation: dict[str, Any] = Field(default_factory=dict)
    limits: dict[str, Any] = Field(default_factory=dict)
    k: tuple[int, ...] = ()
    confidence: Number = 0.95
    margin: Number | None = None
    rows: tuple[Row, ...] = Field(min_length=1)
    comparisons: tuple[Difference, ...] = ()
    links: tuple[LinkRow, ...] = ()
    contamination: dict[str, Contamination] = Field(default_factory=dict)
    curves: dict[str, Curves] = Field(default_factory=dict)
    trainings: tuple[TrainingRow, ...] = ()
    reward_models: dict[str, RewardModel] = Field(default_factory=dict)
    answers: dict[str, PaidAnswers] = Field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    taken_over: dict[str, str] = Field(default_factory=dict)
    """Steps that are not the work of the user who made this, as they are, each with the reason."""
    withdrawn: str = ""
    """Why p-values, ranks and verdicts of this leaderboard were taken back; empty where they stand."""

    @model_validator(mode="after")
    def _names_are_known(self) -> Leaderboard:
        names = [row.variant for row in self.rows]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"variant {twice[0]!r} has more than one row")
        mentioned = [self.reference, *(name for c in self.comparisons for name in (c.a, c.b))]
        mentioned += [*self.contamination, *self.answers]
        mentioned += [v for model in self.reward_models.values() for v in model.pays]
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
        """The row of a variant that is known to have one."""
        return next(row for row in self.rows if row.variant == variant)

    def scored(self, variant: str) -> Row | None:
        """The row of a variant whose answers were scored; None for a reward model, which writes none."""
        return next((row for row in self.rows if row.variant == variant), None)

    def base_of(self, row: Row) -> Row | None:
        """The row of the model that an adapter is loaded onto; None for what is a model by itself."""
        base: Row | None = row
        for _ in self.rows:  # an adapter can be trained from an adapter, which was merged first
            if base is None or base.kind != "adapter":
                break
            base = None if base.parent is None else self.scored(base.parent)
        return None if base is row else base

    @property
    def ranked(self) -> tuple[Row, ...]:
        """Rows best first. Rows of one rank stand in the order they were made from one another, never by their
        figures: no test tells them apart. Rows without a rank come last."""

        def key(row: Row) -> tuple[float, int]:
            return (math.inf if row.rank is None else float(row.rank), self._generation(row))

        return tuple(sorted(self.rows, key=key))

    def _generation(self, row: Row) -> int:
        """Return the number of steps of making between a variant and its first ancestor."""
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
        measured = {(c.a, c.b): c for c in reversed(self.comparisons)}
        claims = {(row.variant, self.reference): row.vs_reference for row in self.rows if row.vs_reference}
        for known in (measured, claims):
            if (a, b) in known:
                return known[a, b]
            if (b, a) in known:
                return known[b, a].turned()
        return None


def headline(row: Row, k: int | None) -> Estimate:
    """The row's pass@k; an empty estimate with its reason where it was not measured."""
    if k is not None and k in row.pass_at_k:
        return row.pass_at_k[k]
    return Estimate(reason=row.unmeasured.get(f"pass@{k}", ""))


def read_leaderboard(raw: Mapping[str, Any]) -> Leaderboard:
    """Check and type the content of a leaderboard.json from disk. Raises BadInputError with the field and its value."""
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
