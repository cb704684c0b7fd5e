"""What paid, as a report reads it: reward models as they were measured, and answers with what they were paid."""

from __future__ import annotations

from pydantic import model_validator

from harness.report.record import Number, Record


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
    """One trained reward model on its held-out pairs (`trainers.preference.reward_report`). None is unmeasured."""

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
