"""`assay compare`: a chain of models, each tested against the one before it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from assay.harness.cli import options
from assay.harness.cli.app import print_json, screen, verb
from assay.harness.errors import BadInputError

if TYPE_CHECKING:
    from assay.harness.console import Progress
    from assay.harness.equivalence import Passage
    from assay.harness.equivalence.measures import PassRate
    from assay.harness.experiment import Experiment

WORSE, UNDECIDED = 1, 2
STAGES = 5  # of a link
PROBLEMS = options.Problems(suite=None)
SAMPLING = options.Sampling(n=1, temperature=0.0, max_new_tokens=512, style="chat")


@verb()
def compare(
    models: Annotated[list[str], Argument(help="Two or more models, each compared with the one before it.")],
    corpus: Annotated[
        str, Option(help="A file of texts, or a suite whose canonical solutions are the texts.")
    ] = "pocket",
    texts: Annotated[int, Option(min=1, help="Texts of the corpus that are compared, at most.")] = 64,
    problems: options.Problems = PROBLEMS,
    sampling: options.Sampling = SAMPLING,
    margin: Annotated[float, Option(help="The difference of pass@1 that does not matter.")] = 0.05,
    greedy_tokens: Annotated[int, Option(min=1, help="Tokens of each greedy answer that is compared.")] = 64,
    threads: options.EngineThreads = 0,
    results: options.Results = options.RESULTS,
    shown: options.Shown = options.SHOWN,
    allow_weak: options.AllowWeak = False,
) -> None:
    """Test that each model still equals the one before it.

    Compared are tokens, weights, token distributions and greedy answers; with --suite also pass@1, paired. Exit code
    0: every link is equivalent (or better); 1: one is worse; 2: one could not be decided.
    """
    import os

    from assay.harness.equivalence import compare_links
    from assay.harness.equivalence.chain import render_links
    from assay.harness.models.resolve import resolve_model

    if len(models) < 2:
        raise BadInputError(f"MODELS {' '.join(models)}: a comparison needs two models or more")
    progress = shown.progress()
    named = dict(zip(_labels(models), (resolve_model(m) for m in models), strict=True))
    passages = _passages(corpus, texts, problems.suite_path if corpus == problems.suite else None)
    rates = None
    if problems.suite is not None:
        from assay.harness.experiment import Experiment

        experiment = options.table(
            Experiment,
            name=options.slug("compare-" + "-".join(named)),
            suite=problems.table(),
            sampling=sampling.table(),
            engine={"dtype": "fp32", "threads": threads},
            score={"margin": margin, "reference": next(iter(named))},
            variant=[{"name": name, "model": model} for name, model in zip(named, models, strict=True)],
        )
        rates = chain_pass_rates(experiment, results, progress, margin=margin, allow_weak=allow_weak)
    stages: list[str] = []
    with progress.task("compare", total=STAGES * (len(named) - 1), unit="stages") as task:

        def on_stage(stage: str) -> None:
            stages.append(stage)
            task.update(len(stages), stage)

        links = compare_links(
            named,
            passages,
            pass_rates=rates,
            threads=threads or len(os.sched_getaffinity(0)),
            greedy_tokens=greedy_tokens,
            on_stage=on_stage,
        )
    if shown.as_json:
        print_json({"links": [link.to_json() for link in links]})
    else:
        screen().print(render_links(links))
    verdicts = {link.verdict for link in links}
    if "worse" in verdicts:
        raise typer.Exit(WORSE)
    if "undecided" in verdicts:
        raise typer.Exit(UNDECIDED)


def _labels(models: Sequence[str]) -> list[str]:
    """Return a short name for each model, no two alike."""

    names: list[str] = []
    for model in models:
        path = Path(model)
        # a step's folder has a more specific name than the `model` folder in it
        name = path.parent.name if path.name == "model" and path.parent.name else path.name
        stem = options.slug(name.removesuffix(".gguf")) or "model"
        same = sum(name == stem or name.startswith(f"{stem}-again") for name in names)
        names.append(f"{stem}-again{same}" if same else stem)
    return names


def _passages(corpus: str, texts: int, path: Path | None) -> list[Passage]:
    from assay.harness.equivalence import load_passages, suite_passages
    from assay.suites import SUITES, load_suite

    if Path(corpus).is_file():
        return load_passages(Path(corpus), texts)
    if corpus not in SUITES.names():
        near = difflib.get_close_matches(corpus, SUITES.names(), n=1)
        advice = f"; did you mean {near[0]!r}?" if near else ""
        raise BadInputError(
            f"--corpus {corpus!r} is neither a file nor a suite; suites: {', '.join(SUITES.names())}{advice}"
        )
    return suite_passages(load_suite(corpus, path=path), texts)


def chain_pass_rates(
    experiment: Experiment, results: Path, progress: Progress, *, margin: float, allow_weak: bool
) -> dict[tuple[str, str], PassRate]:
    """Return pass@1 of each model of a chain, tested against the one before it.

    The experiment's variants are the models; it is run and kept like any other, so a step that is done is not repeated.
    """
    from assay.harness.equivalence.measures import pass_rates
    from assay.harness.pipeline.plan import make_plan
    from assay.harness.pipeline.runner import run
    from assay.harness.pipeline.steps.execute import count, load_tables

    plan = make_plan(experiment)
    done = run(plan, results, progress, allow_weak=allow_weak)
    counts = {variant: count(table) for variant, table in load_tables(done.store, plan).items()}
    names = [v.name for v in experiment.variant]
    return pass_rates(counts, list(pairwise(names)), margin=margin, confidence=experiment.score.confidence)
