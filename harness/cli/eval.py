"""`assay eval`: a model's score on a suite; with `--samples FILE` the same as `assay score FILE`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from assay.harness.cli import options
from assay.harness.cli.app import print_json, verb
from assay.harness.cli.score import Judging, check_fail_under, hold_floor, score_file, suite_table
from assay.harness.errors import BadInputError


@verb(name="eval")
def eval_(
    model: Annotated[
        str | None, Argument(help="A model: pocket, a folder, a .gguf file or a hub id.")
    ] = None,
    samples: Annotated[
        Path | None, Option(help="Score this file of samples: the same as assay score FILE.")
    ] = None,
    *,
    problems: options.Problems,
    suite_option: options.SuiteOption = None,
    sampling: options.Sampling,
    seed: options.OptionalSeed = None,
    results: options.Results = options.RESULTS,
    judging: Judging,
    shown: options.Shown,
    allow_weak: options.AllowWeak = False,
) -> None:
    """Score a model on a suite.

    The samples, verdicts and a report are kept in a run, which resumes after a kill. With --samples FILE this is
    `assay score FILE`.
    """
    from assay.harness.cli.run import conduct, finish
    from assay.harness.experiment import Experiment
    from assay.harness.stats.pass_at_k import Estimate

    if (model is None) == (samples is None):
        raise BadInputError("give a MODEL to evaluate, or --samples FILE to score; one of the two")
    if samples is not None:
        options.refuse(
            {"--n": sampling.n, "--temperature": sampling.temperature, "--style": sampling.style}
            | {"--seed": seed, "--max-new-tokens": sampling.max_new_tokens},
            "these options sample a model; --samples holds samples already",
        )
        score_file(suite_table(problems, suite_option), samples, judging, shown, allow_weak=allow_weak)
        return
    options.refuse(
        {"--format": judging.form, "--output": judging.output, "--repeat": judging.repeat}
        | {"--per-problem-file": judging.per_problem_file, "--per-problem": judging.per_problem or None},
        "these are for --samples; a model's own samples, verdicts and problems are in its run and report",
    )
    n = sampling.n or 1
    scored = options.parse_k(judging.k) or tuple(i for i in (1, 10, 100) if i <= n)
    check_fail_under(judging.fail_under, scored)
    if max(scored) > n:
        raise BadInputError(f"--k {judging.k} needs at least as many samples: give --n {max(scored)} or more")
    experiment = options.table(
        Experiment,
        name=options.slug(f"eval-{model}-{problems.suite}"),
        seed=seed or 0,
        suite=suite_table(problems, suite_option),
        sampling=sampling.table(),
        sandbox=judging.sandbox(),
        score={"k": scored, "reference": "model"},
        variant=[{"name": "model", "model": model}],
    )
    started = time.perf_counter()
    leaderboard, folder = conduct(
        experiment, results, shown, allow_weak=allow_weak, no_cache=judging.no_cache
    )
    if shown.as_json:
        print_json(_as_json(leaderboard, folder, time.perf_counter() - started))
    finish(leaderboard, shown)
    one = leaderboard["rows"][0]["pass@k"].get("1")
    hold_floor(Estimate(**one) if one else None, judging.fail_under)


def _as_json(leaderboard: dict[str, Any], folder: Path, seconds: float) -> dict[str, Any]:
    """Return a model's score in the shape of a file's (docs/reference.md), with the keys of `assay run` beside it."""
    row, isolation = leaderboard["rows"][0], leaderboard["isolation"]
    return {
        "suite": leaderboard["suite"]["name"],
        "suite_revision": leaderboard["suite"]["revision"],
        "n_problems": row["n_problems"],
        "n_problems_in_suite": leaderboard["suite"]["n_problems"],
        "unmeasured": leaderboard["suite"]["unmeasured"],
        "n_samples": row["n_samples"],
        "outcomes": row["outcomes"],
        "pass@k": row["pass@k"],
        "modes": {mode: row["modes"].get(mode, 0) for mode in ("split", "shared")},
        "near_limit": row["near_limit"],
        "not_data": row["not_data"],
        "cached": row["cached"],
        "isolation": isolation["label"],
        "backend": isolation["backend"],
        "families": {family: {"1": estimate} for family, estimate in row["families"].items()},
        "seconds": round(seconds, 3),
        "rows": leaderboard["rows"],
        "reward_models": leaderboard["reward_models"],
        "run": str(folder),
    }
