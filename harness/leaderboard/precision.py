"""Where the noise of a difference comes from, and what would show a smaller one: before a run from guesses, after it
from what it showed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from assay.harness.leaderboard.seeds import Runs, measured_problems, scores_of
from assay.harness.pipeline.steps import Plan
from assay.harness.stats import power
from assay.harness.stats.power import Noise, Purchase, Size, Split

# A difference that is to be shown, where the margin of equivalence shows already: this share of what shows.
_FINER = 0.5


@dataclass(frozen=True, slots=True)
class Precision:
    """What a comparison can show: `effect` is the smallest difference of pass@1 that it finds with 80 % power at the
    5 % level, alone; `split` the parts of its standard error; `purchase` what would show `purchase.target`."""

    size: Size
    effect: float
    split: Split
    purchase: Purchase

    @staticmethod
    def of(noise: Noise, size: Size, margin: float) -> Precision:
        effect = power.detectable(noise, size)
        target = margin if margin < effect else _FINER * effect
        return Precision(size, effect, power.split(noise, size), power.purchase(noise, size, target))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def parts(self) -> dict[str, float]:
        """Return the share of the variance that comes from problems, from drawing samples and from training seeds."""
        split = self.split
        named = {"problems": split.problems, "drawing samples": split.sampling}
        if max(self.size.seeds) > 1:
            named["training seeds"] = split.seeds
        return {name: (se / split.se) ** 2 for name, se in named.items() if split.se}

    def wanted_instead(self) -> list[str]:
        """Return what would show the target, each alone, in words."""
        size, buy = self.size, self.purchase
        ways = [(buy.samples, "samples a problem", size.samples), (buy.problems, "problems", size.problems)]
        if max(size.seeds) > 1:
            ways.insert(1, (buy.seeds, "training seeds", max(size.seeds)))
        return [f"{count} {name} in place of {now}" for count, name, now in ways if count is not None]


def planned(plan: Plan) -> Precision:
    """Return what the experiment could show between its reference and the variant with most training seeds."""
    experiment = plan.experiment
    reference = len(plan.members[experiment.score.reference])
    trained = max(len(members) for members in plan.members.values())
    size = Size(len(plan.suite.problems), experiment.sampling.samples, (trained, reference))
    noise = power.guess(seeds=(trained > 1, reference > 1))
    return Precision.of(noise, size, experiment.score.margin)


def planned_words(plan: Plan) -> list[str]:
    """Return what `assay plan` says of it."""
    shown = planned(plan)
    size, points = shown.size, 100 * shown.effect
    seeds = f", {max(size.seeds)} training seeds" if max(size.seeds) > 1 else ""
    assumed = (
        f", if trainings differ by {100 * power.SEED_SD:g} points over their seeds (the run measures by how much)"
        if seeds
        else ""
    )
    lines = [
        f"{plan.suite.name}: {size.problems} problems x {size.samples} samples per variant{seeds}. A pass@1 "
        f"difference of about {points:.1f} points from {plan.experiment.score.reference} can be told from none (80 % "
        f"power, 5 % level, one comparison alone){assumed}, or less where variants agree."
    ]
    shares = ", ".join(f"{100 * share:.0f} % from {name}" for name, share in shown.parts().items())
    ways = shown.wanted_instead()
    if shares:
        more = (
            f" {100 * shown.purchase.target:.1f} points would show with {', or '.join(ways)}." if ways else ""
        )
        lines.append(f"Of that noise {shares} (assumed).{more}")
    return lines


def measured(runs: Mapping[str, Runs], a: str, b: str, margin: float) -> Precision | None:
    """Return what the comparison of a and b showed of its noise; None where some problem has one sample, or there is
    one problem alone: then the parts cannot be told apart."""
    problems = measured_problems(runs, a, b)
    tables = [scores_of(runs[v], problems, 1) for v in (a, b)]
    counts = [np.array([[run[p][0] for p in problems] for run in runs[v]], dtype=np.float64) for v in (a, b)]
    seeds = (len(tables[0]), len(tables[1]))
    noise = power.noise_of(tables[0], tables[1], (counts[0], counts[1]), seeds)
    if noise is None or noise.problems + sum(noise.sampling) + sum(noise.seeds) <= 0:
        return None
    return Precision.of(noise, Size(len(problems), round(float(counts[0].mean())), seeds), margin)
