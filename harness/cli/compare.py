"""`assay compare`"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.harness.cli.app import AllowWeak, Json, Quiet, app, print_json
from assay.harness.cli.run import Results

if TYPE_CHECKING:
    from assay.harness.console import Progress
    from assay.harness.equivalence import Link, Passage
    from assay.harness.equivalence.measures import PassRate
    from assay.harness.experiment import Experiment

WORSE, UNDECIDED = 1, 2
STAGES = 5  # of a link


@app.command()
def compare(
    models: Annotated[
        list[str], typer.Argument(help="Two or more models, each held against the one before it.")
    ],
    corpus: Annotated[
        str,
        typer.Option("--corpus", help="A file of texts, or a suite whose solved problems are the texts."),
    ] = "pocket",
    texts: Annotated[int, typer.Option("--texts", min=1, help="At most so many texts of the corpus.")] = 64,
    suite: Annotated[
        str | None, typer.Option("--suite", help="Also run this suite, and decide by paired pass@1.")
    ] = None,
    suite_path: Annotated[
        Path | None, typer.Option("--suite-path", help="The suite's file, where it reads one.")
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="The suite's split.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only the suite's first problems.")
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Samples a problem.")] = 1,
    temperature: Annotated[float, typer.Option("--temperature", min=0, help="0 is greedy.")] = 0.0,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", min=1, help="Length of a completion.")
    ] = 512,
    style: Annotated[str, typer.Option("--style", help="chat or completion.")] = "chat",
    margin: Annotated[
        float, typer.Option("--margin", help="The loss of pass@1 that does not matter.")
    ] = 0.05,
    greedy_tokens: Annotated[
        int, typer.Option("--greedy-tokens", min=1, help="Length of greedy answers.")
    ] = 64,
    threads: Annotated[int, typer.Option("--threads", min=0, help="0: one per core.")] = 0,
    results: Results = Path("results/runs"),
    as_json: Json = False,
    quiet: Quiet = False,
    allow_weak: AllowWeak = False,
) -> None:
    """Prove that each model still is the one before it: tokens, weights, distributions, greedy answers, pass@1.

    Exit code 0: every link is equivalent (or better); 1: one is worse; 2: one could not be decided.
    """
    import os

    from assay.harness.console import Progress
    from assay.harness.equivalence import compare_links
    from assay.harness.errors import BadInputError
    from assay.harness.models.resolve import in_house_errors, resolve_model

    if len(models) < 2:
        raise BadInputError(f"a comparison takes two models or more, got {models}")
    progress = Progress(enabled=not quiet)
    named = dict(zip(_labels(models), (resolve_model(m) for m in models), strict=True))
    passages = _passages(corpus, texts, suite_path if corpus == suite else None)
    rates = None
    if suite is not None:
        sampling = {
            "samples": n,
            "temperature": temperature,
            "max_new_tokens": max_new_tokens,
            "style": style,
        }
        table: dict[str, object] = {"name": suite, "path": suite_path, "split": split, "limit": limit}
        rates = _pass_rates(
            dict(zip(named, models, strict=True)),
            table,
            sampling,
            margin,
            threads,
            results,
            progress,
            allow_weak,
        )
    stages: list[str] = []
    with (
        progress.task("compare", total=STAGES * (len(named) - 1), unit="stages") as task,
        in_house_errors(),
    ):

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
    _print(links, as_json=as_json)
    verdicts = {link.verdict for link in links}
    if "worse" in verdicts:
        raise typer.Exit(WORSE)
    if "undecided" in verdicts:
        raise typer.Exit(UNDECIDED)


def _print(links: Sequence[Link], *, as_json: bool) -> None:
    if as_json:
        print_json({"links": [link.to_json() for link in links]})
        return
    from assay.harness.console import PLAIN_WIDTH, terminal
    from assay.harness.equivalence.chain import render_links

    console = terminal(plain_width=PLAIN_WIDTH)
    console.print(render_links(links))


def _labels(models: Sequence[str]) -> list[str]:
    """A short name for each, no two alike."""
    from assay.harness.cli.options import slug

    names: list[str] = []
    for model in models:
        path = Path(model)
        # a step's folder tells more than the `model` folder in it
        name = path.parent.name if path.name == "model" and path.parent.name else path.name
        stem = slug(name.removesuffix(".gguf")) or "model"
        same = sum(name == stem or name.startswith(f"{stem}-again") for name in names)
        names.append(f"{stem}-again{same}" if same else stem)
    return names


def _passages(corpus: str, texts: int, path: Path | None) -> list[Passage]:
    from assay.harness.equivalence import load_passages, suite_passages
    from assay.harness.errors import BadInputError
    from assay.suites import SUITES, SuiteError, load_suite

    if Path(corpus).is_file():
        return load_passages(Path(corpus), texts)
    if corpus not in SUITES.names():
        raise BadInputError(
            f"--corpus {corpus!r} is neither a file nor a suite; suites: {', '.join(SUITES.names())}"
        )
    try:
        return suite_passages(load_suite(corpus, path=path), texts)
    except SuiteError as error:
        raise BadInputError(str(error)) from error


def _pass_rates(
    models: dict[str, str],
    suite: dict[str, object],
    sampling: dict[str, object],
    margin: float,
    threads: int,
    results: Path,
    progress: Progress,
    allow_weak: bool,
) -> dict[tuple[str, str], PassRate]:
    from assay.harness.cli.options import slug, table
    from assay.harness.experiment import Experiment

    experiment = table(
        Experiment,
        name=slug("compare-" + "-".join(models)),
        suite=suite,
        sampling=sampling,
        engine={"dtype": "fp32", "threads": threads},
        score={"margin": margin, "reference": next(iter(models))},
        variant=[{"name": name, "model": model} for name, model in models.items()],
    )
    return chain_pass_rates(experiment, results, progress, margin=margin, allow_weak=allow_weak)


# pass@1 of the models of a chain: an experiment whose variants they are, run and kept like any other.


def chain_pass_rates(
    experiment: Experiment, results: Path, progress: Progress, *, margin: float, allow_weak: bool
) -> dict[tuple[str, str], PassRate]:
    """Run the experiment (what is done already is not done again) and test each variant against the one before."""
    from assay.harness.equivalence.measures import pass_rates
    from assay.harness.pipeline.plan import make_plan
    from assay.harness.pipeline.runner import run
    from assay.harness.pipeline.steps.execute import count, load_tables

    plan = make_plan(experiment)
    done = run(plan, results, progress, allow_weak=allow_weak)
    counts = {variant: count(table) for variant, table in load_tables(done.store, plan).items()}
    names = [v.name for v in experiment.variant]
    return pass_rates(counts, list(pairwise(names)), margin=margin, confidence=experiment.score.confidence)
