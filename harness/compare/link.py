"""One link of a chain: everything measured between two models, and what follows from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from harness.compare.measures import Distribution
from harness.compare.passrate import PassRate
from harness.compare.tokens import Tokens
from harness.compare.weights import Weights, weights_from_json

LinkVerdict = Literal["equivalent", "better", "worse", "undecided"]
# Two implementations of one model differ by rounding: llama.cpp keeps keys and values in F16. Beyond this mean KL, in
# nats a token, the weights are other weights; below it, the distance in total variation of the two next-token
# distributions is under 0.7 % on average (Pinsker's inequality). No single token may be far off either. Top-1 agreement
# is no criterion: where two tokens are as good as tied, rounding turns them.
SAME_KL = 1e-4
SAME_KL_MAX = 0.05


@dataclass(frozen=True, slots=True)
class Greedy:
    """Greedy continuations: of `prompts`, how many are identical token by token, and the mean share of the longer one
    that both have in common from the start."""

    prompts: int
    identical: int
    common: float


@dataclass(frozen=True, slots=True)
class Link:
    """The second model `b` held against the first, `a`. A part that could not be measured is None, and `unmeasured`
    says why."""

    a: str
    b: str
    tokens: Tokens
    structure: tuple[str, ...]
    weights: Weights | None
    distribution: Distribution | None
    greedy: Greedy | None
    pass_rate: PassRate | None
    unmeasured: dict[str, str]

    @property
    def faults(self) -> tuple[str, ...]:
        """What proves that the second is not the first, whatever it scores."""
        return (*self.tokens.faults, *self.structure, *(self.weights.faults if self.weights else ()))

    @property
    def same(self) -> bool:
        """Whether both answer alike to within rounding."""
        d = self.distribution
        return d is not None and d.kl_mean <= SAME_KL and d.kl_max <= SAME_KL_MAX

    @property
    def verdict(self) -> LinkVerdict:
        return self.decided[0]

    @property
    def reason(self) -> str:
        return self.decided[1]

    @property
    def decided(self) -> tuple[LinkVerdict, str]:
        """A fault is worse whatever the scores: it may show on other problems. Without one, alike to within rounding
        is equivalent, and everything else is decided by pass@1 or not at all."""
        rate = self.pass_rate
        if self.faults:
            return "worse", self.faults[0]
        if rate is not None and rate.verdict == "worse":
            return "worse", rate.words
        if self.same:
            return "equivalent", "the same next-token distributions to within rounding"
        if rate is not None:
            return rate.verdict, rate.words
        return "undecided", "the distributions differ by more than rounding, and pass@1 was not measured"

    def to_json(self) -> dict[str, Any]:
        """For a program, and for `link_from_json`, which reads all of it but what follows from the rest."""
        return {
            "a": self.a,
            "b": self.b,
            "verdict": self.verdict,
            "reason": self.reason,
            "faults": list(self.faults),
            "structure": list(self.structure),
            "tokens": self.tokens.to_json(),
            "weights": self.weights.to_json() if self.weights else None,
            "distribution": self.distribution.to_json() if self.distribution else None,
            "greedy": asdict(self.greedy) if self.greedy else None,
            "pass@1": self.pass_rate.to_json() if self.pass_rate else None,
            "unmeasured": self.unmeasured,
        }


def link_from_json(values: dict[str, Any], pass_rate: PassRate | None) -> Link:
    """The link that `to_json` wrote, with pass@1 as it is known now."""
    weights, distribution, greedy = (values[key] for key in ("weights", "distribution", "greedy"))
    unmeasured = {k: v for k, v in values["unmeasured"].items() if k != "pass@1" or pass_rate is None}
    tokens = values["tokens"]
    return Link(
        a=values["a"],
        b=values["b"],
        tokens=Tokens(tokens["texts"], tokens["equal"], tuple(tokens["faults"])),
        structure=tuple(values["structure"]),
        weights=None if weights is None else weights_from_json(weights),
        distribution=None if distribution is None else Distribution(**distribution),
        greedy=None if greedy is None else Greedy(**greedy),
        pass_rate=pass_rate,
        unmeasured=unmeasured,
    )
