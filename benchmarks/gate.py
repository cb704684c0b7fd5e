"""Measure a gate's error rates: how often equal models fail, how often a lost margin passes, how often a loss is found.

    python -m benchmarks.gate            # writes results/reference/gate/README.md
    python -m benchmarks.gate --rates    # draws pocket's answers anew first, for the pass rates of its problems

Two worlds: the pass rates of pocket's test problems, as the model that ships with Assay has them (8 samples each),
and a replica of a public gate that flaps (200 problems of 86 %, drawn from Beta(1.4 · 0.86, 1.4 · 0.14), and all
alike). Baseline and candidate are drawn anew in each run; a candidate that lost some points has every rate multiplied
alike. The number of samples a problem is what `assay gate --plan` names for a baseline of two samples.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from assay.harness.decide import gate
from assay.harness.decide.results import Results
from assay.harness.stats import bounds
from assay.harness.stats.bounds import Floats

ROOT = Path(__file__).parents[1] / "results" / "reference" / "gate"
RUNS, MARGIN = 2000, 0.05
_CHUNK = 200


def pocket_rates(*, anew: bool) -> Floats:
    """Return (passes + 1/2) / (samples + 1) of each of pocket's test problems, from the committed counts."""
    path = ROOT / "pocket_counts.json"
    if anew or not path.exists():
        command = [str(Path(sys.executable).with_name("assay")), "eval", "pocket", "--suite", "pocket"]
        command += ["--split", "test", "--n", "8", "--temperature", "0.8", "--json"]
        run = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["run"]
        from assay.harness.decide import read_results

        (one,) = read_results(run)
        ROOT.mkdir(parents=True, exist_ok=True)
        counts = {p: [int(c), int(n)] for p, c, n in zip(one.problems, one.passed, one.samples, strict=True)}
        path.write_text(json.dumps(counts, indent=0) + "\n")
    counts = np.array(list(json.loads(path.read_text()).values()), dtype=np.float64)
    rates: Floats = (counts[:, 0] + 0.5) / (counts[:, 1] + 1)
    return rates


def worlds(*, anew: bool) -> dict[str, Floats]:
    rng = np.random.default_rng(0)
    return {
        "pocket, 400 problems": pocket_rates(anew=anew),
        "replica, 200 problems of 86 %, mixed": rng.beta(1.4 * 0.86, 1.4 * 0.14, size=200),
        "replica, 200 problems of 86 %, alike": np.full(200, 0.86),
    }


def planned_samples(rates: Floats, rng: np.random.Generator, *, sequential: bool) -> int:
    """Return the samples a problem that `assay gate --plan` names, from a baseline of two."""
    n = np.full(len(rates), 2)
    names = tuple(f"p{i}" for i in range(len(rates)))
    baseline = Results("m", "s", names, n, rng.binomial(2, rates), 0 * n, Path("baseline"), "table")
    plan = gate.plan_gate(baseline, gate.Rules(), sequential=sequential)
    return plan.samples or plan.n_samples


def fixed(rates: Floats, lost: Floats, samples: int, rng: np.random.Generator) -> dict[str, float]:
    states = {"pass": 0, "regression": 0, "undecided": 0}
    for _ in range(RUNS // _CHUNK):
        shape = (_CHUNK, len(rates))
        moved = rng.binomial(samples, lost, size=shape) - rng.binomial(samples, rates, size=shape)
        sample = bounds.Values.of(list(moved / samples), -1.0, 1.0)
        lower, upper = bounds.one_sided(sample, 0.95)
        for low, high in zip(lower.tolist(), upper.tolist(), strict=True):
            states[gate.decide(low, high, MARGIN)] += 1
    return {state: count / RUNS for state, count in states.items()}


def sequential(rates: Floats, lost: Floats, samples: int, rng: np.random.Generator) -> dict[str, float]:
    states = {"pass": 0, "regression": 0, "undecided": 0}
    taken = 0.0
    for _ in range(RUNS // _CHUNK):
        shape = (_CHUNK, len(rates))
        moved = (rng.binomial(samples, lost, size=shape) - rng.binomial(samples, rates, size=shape)) / samples
        first, _ = gate.sequences(rng.permuted(moved, axis=1), MARGIN)
        end = first.min(axis=1)
        taken += float(np.minimum(end, len(rates)).sum())
        passes = (first[:, 0] == end) & (end <= len(rates))
        states["pass"] += int(passes.sum())
        states["undecided"] += int((end > len(rates)).sum())
        states["regression"] += int((~passes & (end <= len(rates))).sum())
    return {state: count / RUNS for state, count in states.items()} | {"problems taken": taken / RUNS}


def measure(*, anew: bool) -> list[dict[str, Any]]:
    rows = []
    for world, rates in worlds(anew=anew).items():
        rng = np.random.default_rng(len(world))
        for form, decide in (("fixed", fixed), ("sequential", sequential)):
            planned = planned_samples(rates, rng, sequential=form == "sequential")
            for loss in (0.0, MARGIN, 2 * MARGIN):
                lost = rates * (1 - loss / rates.mean())
                result = decide(rates, lost, planned, rng)
                rows.append({"world": world, "form": form, "samples": planned, "loss": loss, **result})
                print(json.dumps(rows[-1]), file=sys.stderr)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    error = 100 * math.sqrt(0.05 * 0.95 / RUNS)
    lines = [
        "# How often a gate is right",
        "",
        f"`python -m benchmarks.gate`, whose first lines describe the worlds; {RUNS:,} runs a row, a margin of 5 "
        "points, the samples a problem that `assay gate --plan` names. "
        f"A share of 5 % has a Monte Carlo error of {error:.1f} points. "
        "`pocket_counts.json` holds [passed, samples] of pocket's test problems.",
        "",
        "| world | form | samples | true loss | exit 0 | exit 1 | exit 2 | problems taken |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        taken = f"{row['problems taken']:.0f}" if "problems taken" in row else "all"
        shares = " | ".join(f"{100 * row[state]:.1f} %" for state in ("pass", "regression", "undecided"))
        lines.append(
            f"| {row['world']} | {row['form']} | {row['samples']} | {100 * row['loss']:g} points | {shares} | {taken} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", action="store_true", help="draw pocket's answers anew")
    rows = measure(anew=parser.parse_args().rates)
    ROOT.mkdir(parents=True, exist_ok=True)
    (ROOT / "README.md").write_text(table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
