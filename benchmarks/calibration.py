"""Measure how often the statistics are right: coverage, false claims, and power, by simulation with the product's
functions.

    python -m benchmarks.calibration                 # all cells; goes on where it was stopped
    python -m benchmarks.calibration --kind ranks    # one kind
    python -m benchmarks.calibration --quick         # a part of at most a minute, printed and not written
    python -m benchmarks.calibration --table         # the table, from the cells that are there

Cells are written to results/reference/calibration/cells.jsonl, one a line, and the table to README.md beside them.
Worlds: the difficulty of problems is Beta(c·p, c·(1 − p)), c = 1.4 (as suites are) or 10; two variants have the
problem's logit plus N(0, 0.5) each; a training seed moves the logit of all problems by N(0, su) and that of each by
N(0, 0.5). su = 0.1 is about 1.3 points, 0.3 about 3.7. The truth is the mean over all problems of that world.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from assay.harness.stats import bounds, power, student
from assay.harness.stats.bounds import Floats, Values
from assay.harness.stats.crossed import compare_crossed, difference_of, mean_of
from assay.harness.stats.paired import holm, limited
from assay.harness.stats.pass_at_k import per_problem, wilson

ROOT = Path(__file__).parents[1] / "results" / "reference" / "calibration"
RELATED, INTERACTION = 0.5, 0.5
Z99 = 2.3263
Cell = dict[str, Any]

# What each kind promises: (field, "least" or "most", the bound on the 99 % Monte Carlo bound in percent).
PROMISES = {
    "estimate": ("covered", "least", 93.5),
    "paired": ("covered", "least", 93.5),
    "crossed_estimate": ("covered", "least", 93.5),
    "crossed_difference": ("covered", "least", 93.5),
    "ranks": ("claimed", "most", 6.5),
    "margin": ("claimed", "most", 6.5),
    "margin_seeds": ("claimed", "most", 6.5),
}


def logistic(x: Floats) -> Floats:
    y: Floats = 1 / (1 + np.exp(-x))
    return y


def logits(rng: np.random.Generator, shape: tuple[int, ...], p: float, c: float) -> Floats:
    rate = np.clip(rng.beta(c * p, c * (1 - p), size=shape), 1e-9, 1 - 1e-9)
    z: Floats = np.log(rate) - np.log1p(-rate)
    return z


@lru_cache(maxsize=512)
def mean_rate(p: float, c: float, shift: float, spread: float) -> float:
    """Return the mean pass rate where logits are moved by N(shift, spread)."""
    rng = np.random.default_rng(99)
    z = logits(rng, (400_000,), p, c)
    return float(logistic(z + shift + spread * rng.normal(size=len(z))).mean())


def counted(passes: Floats, n: int) -> Floats:
    """Return how often each count −n … n, or 0 … n where none is negative, comes in each row."""
    least = -n if passes.min() < 0 else 0
    return np.stack([(passes == i).sum(axis=1) for i in range(least, n + 1)], axis=1).astype(float)


def sample_of(values: Floats, counts: Floats, floor: float) -> Values:
    rows = len(counts)
    return Values(np.broadcast_to(values, (rows, len(values))), counts, np.full(rows, floor), np.ones(rows))


def estimate(cell: Cell, rng: np.random.Generator) -> Cell:
    n, k, p, c, size = (cell[key] for key in ("n", "k", "p", "c", "problems"))
    rate = rng.beta(c * p, c * (1 - p), size=(cell["runs"], size))
    passes = rng.binomial(n, rate)
    truth = 1 - math.prod((c * (1 - p) + i) / (c + i) for i in range(k))
    if n == 1:
        ends = np.array([wilson(i / size, size) for i in range(size + 1)])[passes.sum(axis=1)]
        return {
            "covered": float(((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean()),
            "width": float((ends[:, 1] - ends[:, 0]).mean()),
        }
    values = per_problem([(n, i) for i in range(n + 1)], k)
    sample = sample_of(values, counted(np.where(passes < 0, 0, passes), n), 0.0)
    some = sample.rows(np.arange(min(60, cell["runs"])))
    if k == 1:
        confidence = bounds.mid_p(sample, truth)
        covered = (confidence >= 0.025) & (confidence <= 0.975)
        low, high = bounds.interval(some, 0.95)
    else:
        above, below = (bounds.at_most(sample, truth, limit) for limit in ("floor", "ceiling"))
        covered = (above >= 0.025) & (below <= 0.975)
        low, high = bounds.one_sided(some, 0.975)
    return {
        "covered": float(covered.mean()),
        "width": float((high - low).mean()),
        "bootstrap_width": float(_bootstrap_width(some).mean()),
    }


def _bootstrap_width(sample: Values) -> Floats:
    """Return the width of a percentile bootstrap over problems, which is that of a normal with the spread seen."""
    n = sample.counts.sum(axis=1)
    variance = (sample.values**2 * sample.counts).sum(axis=1) / n - sample.mean() ** 2
    width: Floats = 2 * 1.96 * np.sqrt(np.maximum(variance, 0) / n)
    return width


def paired(cell: Cell, rng: np.random.Generator) -> Cell:
    n, p, c, size, shift = (cell[key] for key in ("n", "p", "c", "problems", "shift"))
    z = logits(rng, (cell["runs"], size), p, c)
    first, second = (
        rng.binomial(n, logistic(z + move + RELATED * rng.normal(size=z.shape))) for move in (shift, 0.0)
    )
    truth = mean_rate(p, c, shift, RELATED) - mean_rate(p, c, 0.0, RELATED) if shift else 0.0
    counts = np.stack([((first - second) == i).sum(axis=1) for i in range(-n, n + 1)], axis=1).astype(float)
    sample = limited(sample_of(np.arange(-n, n + 1) / n, counts, -1.0))
    confidence = bounds.mid_p(sample, truth)
    some = sample.rows(np.arange(min(60, cell["runs"])))
    low, high = bounds.interval(some, 0.95)
    result = {
        "covered": float(((confidence >= 0.025) & (confidence <= 0.975)).mean()),
        "width": float((high - low).mean()),
        "bootstrap_width": float(_bootstrap_width(some).mean()),
    }
    return result | ({"claimed": float((bounds.two_sided_p(sample) < 0.05).mean())} if not shift else {})


def tables(
    rng: np.random.Generator, variants: int, seeds: int, size: int, n: int, p: float, c: float, su: float
) -> Floats:
    """Return pass rates of equal methods, shape (variants, seeds, problems)."""
    shape = (variants, seeds, size)
    z = logits(rng, (1, 1, size), p, c) + RELATED * rng.normal(size=(variants, 1, size))
    z = z + su * rng.normal(size=(variants, seeds, 1)) + INTERACTION * rng.normal(size=shape)
    rates: Floats = rng.binomial(n, logistic(z)) / n
    return rates


def crossed_estimate(cell: Cell, rng: np.random.Generator) -> Cell:
    n, p, c, size, su, seeds = (cell[key] for key in ("n", "p", "c", "problems", "su", "seeds"))
    truth = mean_rate(p, c, 0.0, math.sqrt(RELATED**2 + su**2 + INTERACTION**2))
    covered, width = 0, 0.0
    for _ in range(cell["runs"]):
        mean = mean_of(tables(rng, 1, seeds, size, n, p, c, su)[0])
        reach = mean.reach(0.95)
        covered += mean.value - reach <= truth <= mean.value + reach
        width += min(1.0, mean.value + reach) - max(0.0, mean.value - reach)
    return {"covered": covered / cell["runs"], "width": width / cell["runs"]}


def crossed_difference(cell: Cell, rng: np.random.Generator) -> Cell:
    """Two trained variants, or one against a base without seeds that is as good in the mean over problems."""
    n, p, c, size, su, seeds = (cell[key] for key in ("n", "p", "c", "problems", "su", "seeds"))
    spread = math.hypot(su, INTERACTION)
    nodes = spread * np.array([-1.7320508, 0.0, 1.7320508]), np.array([1 / 6, 2 / 3, 1 / 6])
    covered, width = 0, 0.0
    for _ in range(cell["runs"]):
        if cell["against"] == "trained":
            first, second = tables(rng, 2, seeds, size, n, p, c, su)
        else:
            z = logits(rng, (1, size), p, c)
            own = z + RELATED * rng.normal(size=(1, size)) + su * rng.normal(size=(seeds, 1))
            first = rng.binomial(n, logistic(own + INTERACTION * rng.normal(size=(seeds, size)))) / n
            base = z[0] + RELATED * rng.normal(size=size)
            rate = sum(w * logistic(base + x) for x, w in zip(*nodes, strict=True))
            second = rng.binomial(n, rate)[None, :] / n
        mean = difference_of(first, second)
        covered += mean.p() >= 0.05
        width += 2 * mean.reach(0.95)
    return {"covered": covered / cell["runs"], "width": width / cell["runs"]}


def crossed_width(cell: Cell, rng: np.random.Generator) -> Cell:
    """The mean width of intervals over seeds beside that of version 0.1, on the same tables."""
    n, p, c, size, su, seeds = (cell[key] for key in ("n", "p", "c", "problems", "su", "seeds"))
    now = before = 0.0
    for _ in range(cell["runs"]):
        first, second = tables(rng, 2, seeds, size, n, p, c, su)
        if cell["of"] == "estimate":
            now, before = now + mean_of(first).reach(0.95), before + _reach_of_0_1(first)
            continue
        second = second if cell["of"] == "trained" else second[:1]
        now += difference_of(first, second).reach(0.95)
        before += _reach_of_0_1(first - second)
    return {"width_ratio": now / before}


def _reach_of_0_1(scores: Floats) -> float:
    """Return half the width of version 0.1's interval, which took the seeds out of the variance where it was small."""
    s, p = scores.shape
    by_seed, by_problem, mean = scores.mean(axis=1), scores.mean(axis=0), scores.mean()
    rest = scores - by_seed[:, None] - by_problem[None, :] + mean
    ms = (
        float(p * np.square(by_seed - mean).sum() / (s - 1)),
        float(s * np.square(by_problem - mean).sum() / (p - 1)),
        float(np.square(rest).sum() / ((s - 1) * (p - 1))),
    )
    dfs = (s - 1, p - 1, (s - 1) * (p - 1))
    if ms[0] <= ms[2]:
        used = [(ms[1], dfs[1])] if ms[1] > ms[2] else [(ms[2], dfs[2])]
        total = used[0][0]
    elif ms[1] <= ms[2]:
        used, total = [(ms[0], dfs[0])], ms[0]
    else:
        used, total = list(zip(ms, dfs, strict=True)), ms[0] + ms[1] - ms[2]
    df = total**2 / sum(m * m / df for m, df in used if m > 0)
    return student.quantile(0.95, float(f"{df:.3g}")) * math.sqrt(total / (s * p))


def ranks(cell: Cell, rng: np.random.Generator) -> Cell:
    """How often equal methods, all pairs with Holm's adjustment, are told apart at all."""
    n, p, c, size, su, seeds, methods = (
        cell[key] for key in ("n", "p", "c", "problems", "su", "seeds", "methods")
    )
    pairs, claims = list(itertools.combinations(range(methods), 2)), 0
    for _ in range(cell["runs"]):
        scores = tables(rng, methods, seeds, size, n, p, c, su)
        if seeds == 1:
            moved = np.stack([np.rint((scores[a, 0] - scores[b, 0]) * n) for a, b in pairs])
            counts = np.stack([(moved == i).sum(axis=1) for i in range(-n, n + 1)], axis=1).astype(float)
            sample = limited(sample_of(np.arange(-n, n + 1) / n, counts, -1.0))
            p_values = bounds.two_sided_p(sample).tolist()
        else:
            p_values = [difference_of(scores[a], scores[b]).p() for a, b in pairs]
        claims += min(holm(p_values)) < 0.05
    return {"claimed": claims / cell["runs"]}


def margin(cell: Cell, rng: np.random.Generator) -> Cell:
    """How often "non-inferior" is said of a true loss of exactly the margin; "equivalent" is never said more often.

    A share of the problems is lost (each by `each` of a point), so many that the mean is the margin, another won back
    and lost elsewhere; the others are solved always or never by both.
    """
    n, size, each, gains = (cell[key] for key in ("n", "problems", "each", "gains"))
    lost = (cell["margin"] + gains) / each
    kind = rng.choice(3, p=[1 - lost - gains / each, lost, gains / each], size=(cell["runs"], size))
    drawn = rng.binomial(n, each, size=kind.shape)
    moved = np.where(kind == 1, -drawn, np.where(kind == 2, drawn, 0))
    counts = np.stack([(moved == i).sum(axis=1) for i in range(-n, n + 1)], axis=1).astype(float)
    sample = sample_of(np.arange(-n, n + 1) / n, counts, -1.0)
    lower = bounds.at_most(sample, -cell["margin"], "floor") < 0.05
    upper = bounds.at_most(sample, cell["margin"], "ceiling") > 0.95
    return {"claimed": float(lower.mean()), "equivalent": float((lower & upper).mean())}


def margin_seeds(cell: Cell, rng: np.random.Generator) -> Cell:
    """The same for a variant of several seeds against a base."""
    n, size, su, seeds = (cell[key] for key in ("n", "problems", "su", "seeds"))
    claimed = equivalent = 0
    for _ in range(cell["runs"]):
        rate = np.clip(rng.beta(0.7, 0.7, size=size), 0.0, 1.0)
        own = rate + rng.normal(0, 0.1, size=size)
        first = np.clip(rng.binomial(n, np.clip(rate, 0, 1), size=(seeds, size)) / n, 0, 1)
        second = rng.binomial(n, np.clip(own, 0, 1))[None, :] / n
        shift = rate.mean() - np.clip(own, 0, 1).mean()
        moved = first - shift - cell["margin"] + su * rng.normal(size=(seeds, 1))
        result = compare_crossed("a", "b", moved, second, margin=cell["margin"])
        assert result.lower is not None
        claimed += result.lower > -cell["margin"]
        equivalent += result.verdict == "equivalent"
    return {"claimed": claimed / cell["runs"], "equivalent": equivalent / cell["runs"]}


def planned(cell: Cell, rng: np.random.Generator) -> Cell:
    """How often the smallest detectable difference of `assay plan` is found, in the world that it assumes."""
    from scipy.stats import beta, norm

    n, size, seeds, sd = (cell[key] for key in ("n", "problems", "seeds", "seed_sd"))
    noise = replace(power.guess(), seeds=(sd**2 * (seeds[0] > 1), sd**2 * (seeds[1] > 1)))
    effect = power.detectable(noise, power.Size(size, n, tuple(seeds)))
    share, hits = 2 * math.sin(math.pi / 12), 0  # rates that correlate by a half
    for _ in range(cell["runs"]):
        common = math.sqrt(share) * rng.normal(size=size)
        rates = [
            beta.ppf(norm.cdf(common + math.sqrt(1 - share) * rng.normal(size=size)), mean, 1 - mean)
            for mean in (0.5 + effect / 2, 0.5 - effect / 2)
        ]
        first, second = (
            rng.binomial(n, np.broadcast_to(r, (s, size))) / n + sd * rng.normal(size=(s, 1)) * (s > 1)
            for r, s in zip(rates, seeds, strict=True)
        )
        if tuple(seeds) == (1, 1):
            sample = limited(Values.of([(first - second)[0]], -1.0, 1.0))
            hits += float(bounds.two_sided_p(sample)[0]) < 0.05
        else:
            hits += difference_of(first, second).p() < 0.05
    return {"effect": effect, "found": hits / cell["runs"]}


def decides(cell: Cell, rng: np.random.Generator) -> Cell:
    """How often a true 8 points are found, alone and among all pairs of a family."""
    n, size, seeds, methods = (cell[key] for key in ("n", "problems", "seeds", "methods"))
    alone = family = 0
    for _ in range(cell["runs"]):
        scores = tables(rng, methods, seeds, size, n, 0.5, 1.4, cell["su"])
        better = scores[0] + cell["points"] / 100
        p_values = [
            difference_of(better if a == 0 else scores[a], scores[b]).p()
            for a, b in itertools.combinations(range(methods), 2)
        ]
        alone += p_values[0] < 0.05
        family += holm(p_values)[0] < 0.05
    return {"found_alone": alone / cell["runs"], "found_in_family": family / cell["runs"]}


KINDS: dict[str, Callable[[Cell, np.random.Generator], Cell]] = {
    "ranks": ranks,
    "margin": margin,
    "margin_seeds": margin_seeds,
    "decides": decides,
    "planned": planned,
    "crossed_width": crossed_width,
    "estimate": estimate,
    "paired": paired,
    "crossed_estimate": crossed_estimate,
    "crossed_difference": crossed_difference,
}


def grid() -> Iterator[Cell]:
    """Yield the cells: main factors and the worst corners."""
    sizes = (20, 50, 164, 400, 1000)
    for methods, seeds, su in itertools.product((5, 10), (1, 3, 5), (0.0, 0.1, 0.3)):
        if seeds > 1 or not su:
            yield _cell("ranks", 2000, methods=methods, seeds=seeds, su=su, problems=400, n=2, p=0.5, c=1.4)
    for methods, seeds in ((5, 2), (5, 3)):
        yield _cell("ranks", 2000, methods=methods, seeds=seeds, su=0.45, problems=1000, n=2, p=0.5, c=1.4)
    for size, bound, n in itertools.product(sizes, (0.02, 0.05), (1, 2, 5, 10)):
        for each, gains in ((1.0, 0.0), (1.0, 0.02), (0.34, 0.0)):
            if not (n == 1 and each < 1):
                yield _cell("margin", 8000, problems=size, margin=bound, n=n, each=each, gains=gains)
    for seeds, size, su in itertools.product((3, 5), (400,), (0.0, 0.013, 0.037)):
        yield _cell("margin_seeds", 2000, seeds=seeds, problems=size, su=su, n=2, margin=0.05)
    for seeds, su in ((5, 0.1), (3, 0.1), (5, 0.3)):
        yield _cell("decides", 1000, seeds=seeds, su=su, problems=400, n=2, methods=5, points=8)
    for size, n in itertools.product(sizes, (1, 5)):
        yield _cell("planned", 2000, problems=size, n=n, seeds=(1, 1), seed_sd=0.0)
    for seeds, size, sd in itertools.product(
        ((3, 3), (3, 1), (5, 5), (5, 1)), (50, 164, 400), (0.0, 0.013, 0.037)
    ):
        yield _cell("planned", 1500, problems=size, n=2, seeds=seeds, seed_sd=sd)
    for of, seeds, size, su in itertools.product(
        ("estimate", "trained", "base"), (2, 3, 5), (50, 400, 1000), (0.0, 0.1, 0.3)
    ):
        yield _cell("crossed_width", 300, of=of, seeds=seeds, problems=size, su=su, n=2, p=0.5, c=1.4)
    rates = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
    for (n, k), size, p, c in itertools.product(
        ((1, 1), (2, 1), (5, 1), (10, 1), (5, 5), (10, 5)), sizes, rates, (1.4, 10.0)
    ):
        yield _cell("estimate", 4000, n=n, k=k, problems=size, p=p, c=c)
    cases = (
        (0.02, 0.0),
        (0.02, 1.0),
        (0.3, 0.0),
        (0.5, 0.0),
        (0.5, 1.0),
        (0.7, 0.5),
        (0.9, 0.8),
        (0.98, 1.0),
    )
    for n, size, (p, shift), c in itertools.product((1, 2, 5, 10), sizes, cases, (1.4, 10.0)):
        yield _cell("paired", 4000, n=n, problems=size, p=p, shift=shift, c=c)
    shapes = ((20, 2), (50, 5), (400, 2), (1000, 2))
    worlds = [
        *itertools.product(shapes, (0.02, 0.5, 0.9), (0.0, 0.3)),
        *itertools.product(shapes, (0.5,), (0.1,)),
    ]
    worlds += [((1000, 2), 0.5, 0.45), ((164, 1), 0.5, 0.3)]
    for ((size, n), p, su), seeds in itertools.product(worlds, (2, 3, 5)):
        shared = {"problems": size, "n": n, "p": p, "c": 1.4, "su": su, "seeds": seeds}
        yield _cell("crossed_estimate", 4000, **shared)
        for against in ("trained", "base"):
            yield _cell("crossed_difference", 4000, against=against, **shared)


def _cell(kind: str, runs: int, **settings: Any) -> Cell:
    return {"kind": kind, "runs": runs, **settings}


def key_of(cell: Cell) -> str:
    return json.dumps(cell, sort_keys=True)


def measure(cell: Cell) -> Cell:
    """Return the cell with what came out, its Monte Carlo standard errors and the seconds."""
    start = time.perf_counter()
    seed = np.frombuffer(key_of(cell).encode(), np.uint8)
    result = KINDS[cell["kind"]](cell, np.random.default_rng(seed))
    shares = {
        name: round(math.sqrt(value * (1 - value) / cell["runs"]), 5)
        for name, value in result.items()
        if name in ("covered", "claimed", "found", "equivalent", "found_alone", "found_in_family")
    }
    rounded = {name: round(value, 5) for name, value in result.items()}
    return {
        "cell": cell,
        "result": rounded,
        "mc_se": shares,
        "seconds": round(time.perf_counter() - start, 2),
    }


def verdict(row: Cell) -> str:
    """Return "broken" where the promise of a cell's kind does not hold, "over" where it is kept by far, else ""."""
    if row["cell"]["kind"] not in PROMISES:
        return ""
    if row["cell"]["kind"] == "estimate" and row["cell"]["n"] == 1:
        return ""  # Wilson's interval, which dips to 91 % near 0 and 1 on few problems, as published
    field, side, bound = PROMISES[row["cell"]["kind"]]
    value = 100 * row["result"][field]
    error = 100 * Z99 * max(row["mc_se"][field], 0.5 / row["cell"]["runs"])
    if side == "least":
        return "broken" if value + error < bound else ("over" if value - error > 96.5 else "")
    # Of false claims it is the upper bound that has to hold.
    return "broken" if value + error > bound else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=list(KINDS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    cells = [cell for cell in grid() if options.kind in (None, cell["kind"])]
    if options.quick:
        quick()
        return
    ROOT.mkdir(parents=True, exist_ok=True)
    path = ROOT / "cells.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    done = {key_of(row["cell"]): row for row in map(json.loads, lines)}
    if not options.table:
        missing = [cell for cell in cells if key_of(cell) not in done]
        with path.open("a") as file:
            for i, cell in enumerate(missing, 1):
                row = measure(cell)
                file.write(json.dumps(row) + "\n")
                file.flush()
                done[key_of(cell)] = json.loads(json.dumps(row))
                print(f"{i} of {len(missing)}: {cell} {row['result']} {verdict(row)}", file=sys.stderr)
    rows = [done[key_of(cell)] for cell in grid() if key_of(cell) in done]
    (ROOT / "README.md").write_text(table(rows, len(list(grid()))))
    broken = [row for row in rows if verdict(row) == "broken"]
    print(f"{len(rows)} cells, {len(broken)} broken: {ROOT / 'README.md'}")
    sys.exit(1 if broken else 0)


def quick_cells() -> list[Cell]:
    """A cell of each promise in its hardest corner, small enough for a test."""
    return [
        _cell("ranks", 150, methods=5, seeds=3, su=0.3, problems=164, n=2, p=0.5, c=1.4),
        _cell("margin", 2000, problems=164, margin=0.02, n=1, each=1.0, gains=0.0),
        _cell("margin", 2000, problems=50, margin=0.02, n=5, each=0.34, gains=0.0),
        _cell("estimate", 2000, n=10, k=5, problems=164, p=0.98, c=1.4),
        _cell("paired", 2000, n=5, problems=20, p=0.9, shift=0.8, c=1.4),
        _cell("crossed_estimate", 600, problems=50, n=2, p=0.02, c=1.4, su=0.3, seeds=3),
        _cell("crossed_difference", 600, problems=164, n=2, p=0.5, c=1.4, su=0.3, seeds=3, against="base"),
    ]


def quick() -> list[Cell]:
    rows = [measure(cell) for cell in quick_cells()]
    for row in rows:
        print(row["cell"], row["result"], verdict(row) or "holds")
    return rows


def table(rows: list[Cell], cells: int) -> str:
    """Return the page: each promise with how many cells hold it, then the cells furthest from their level."""
    lines = [
        "# How often the statistics are right",
        "",
        "Measured by `python -m benchmarks.calibration`, whose first lines describe the simulated worlds; one line a "
        "cell in `cells.jsonl`. ± is the Monte Carlo standard error.",
        "",
        f"{len(rows)} of {cells} cells were measured. Cells of one sample a problem (n = 1) have Wilson's interval, "
        "which dips near 0 and 1 on few problems, as published; they promise nothing here.",
        "",
        "| what | cells | promise (99 % Monte Carlo bound) | broken | lowest | highest | over 96.5 % |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, (field, side, bound) in PROMISES.items():
        here = [row for row in rows if row["cell"]["kind"] == kind]
        if here:
            values = [100 * row["result"][field] for row in here]
            counts = [sum(verdict(row) == word for row in here) for word in ("broken", "over")]
            said = "covers" if side == "least" else "false claims"
            lines.append(
                f"| {kind} | {len(here)} | {said} at {side} {bound} % | {counts[0]} | {min(values):.1f} % | "
                f"{max(values):.1f} % | {counts[1] if side == 'least' else '-'} |"
            )
    for title, kinds in (
        ("Ranks of equal methods: any false claim", ("ranks",)),
        ("A true loss of exactly the margin", ("margin_seeds",)),
        ("A true difference of 8 points", ("decides",)),
        ("Width of intervals over seeds, beside version 0.1's on the same tables", ("crossed_width",)),
        ("The smallest detectable difference of `assay plan`", ("planned",)),
    ):
        lines += ["", f"## {title}", "", *_rows([row for row in rows if row["cell"]["kind"] in kinds])]
    for kind in ("estimate", "paired", "crossed_estimate", "crossed_difference", "margin"):
        field, side, _ = PROMISES[kind]
        here = sorted((row for row in rows if row["cell"]["kind"] == kind), key=lambda r: r["result"][field])
        worst = here[:10] if side == "least" else here[::-1][:10]
        lines += ["", f"## {kind}: the ten cells nearest to their bound", "", *_rows(worst)]
    wide = [
        row
        for row in rows
        if "bootstrap_width" in row["result"]
        and 0.3 <= row["cell"]["p"] <= 0.7
        and row["result"]["width"] > 1.3 * row["result"]["bootstrap_width"]
        and row["cell"].get("k", 1) == 1
    ]
    lines += ["", "## Intervals more than 1.3 times as wide as a percentile bootstrap's, p from .3 to .7", ""]
    lines += _rows(wide) if wide else ["None."]
    return "\n".join(lines) + "\n"


def _rows(rows: list[Cell]) -> list[str]:
    if not rows:
        return ["Not measured yet."]
    fields = [name for name in rows[0]["cell"] if name != "kind"]
    results = list(dict.fromkeys(name for row in rows for name in row["result"]))
    head = [*fields, *(name.replace("_", " ") for name in results)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [str(row["cell"].get(name, "")) for name in fields]
        for name in results:
            value, error = row["result"].get(name), row["mc_se"].get(name)
            if value is None:
                cells.append("")
                continue
            after = "" if error is None else f" ± {100 * error:.1f}"
            cells.append(f"{value:.2f}" if name.endswith("ratio") else f"{100 * value:.1f} %{after}")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    main()
