"""`assay compare`: is B as good as A, by two result files or runs; or a chain of models, link by link."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from assay.harness.cli import options
from assay.harness.cli.app import print_json, screen, verb
from assay.harness.errors import BadInputError

if TYPE_CHECKING:
    from assay.harness.console import Progress
    from assay.harness.decide import ResultComparison
    from assay.harness.equivalence import Passage
    from assay.harness.equivalence.measures import PassRate
    from assay.harness.experiment import Experiment

WORSE, UNDECIDED = 1, 2
STAGES = 5  # of a link
SHOWN_TURNED = 20  # problems that a terminal lists
PROBLEMS = options.Problems(suite=None)
SAMPLING = options.Sampling(n=1, temperature=0.0, max_new_tokens=512, style="chat")
MODELS_ONLY: dict[str, Any] = {"corpus": "pocket", "texts": 64, "greedy_tokens": 64, "threads": 0}
MODELS_ONLY |= {"suite_path": None, "split": None, "limit": None} | asdict(SAMPLING)


@verb()
def compare(
    models: Annotated[
        list[str],
        Argument(
            metavar="A B",
            help="Two result files or runs of any evaluator (FILE, FILE:MODEL, NAME=FILE or RUN:VARIANT); or two or "
            "more models, each compared with the one before it.",
        ),
    ],
    corpus: Annotated[
        str, Option(help="Models: a file of texts, or a suite whose canonical solutions are the texts.")
    ] = "pocket",
    texts: Annotated[int, Option(min=1, help="Models: texts of the corpus that are compared, at most.")] = 64,
    problems: options.Problems = PROBLEMS,
    sampling: options.Sampling = SAMPLING,
    margin: Annotated[float, Option(help="The difference of pass@1 that does not matter.")] = 0.05,
    greedy_tokens: Annotated[
        int, Option(min=1, help="Models: tokens of each greedy answer that is compared.")
    ] = 64,
    threads: options.EngineThreads = 0,
    results: options.Results = options.RESULTS,
    files: options.ResultFiles = options.RESULT_FILES,
    missing: Annotated[
        str,
        Option(
            help="Result files, samples without a verdict: bounds (the answer has to stand whether they passed or "
            "failed), ignore or fail."
        ),
    ] = "bounds",
    report_only: Annotated[
        bool, Option("--report-only", help="Exit with 0 whatever the verdict is.")
    ] = False,
    shown: options.Shown = options.SHOWN,
    allow_weak: options.AllowWeak = False,
) -> None:
    """Decide whether B is as good as A.

    Of two result files or runs, pass@1 is compared problem by problem: difference, interval, p, what it could have
    shown, and which problems turned. B is held against A, and --suite takes one suite of several. Of models, each is
    compared with the one before it: tokens, weights, token distributions and greedy answers; with --suite also pass@1.

    Exit code 0: better or equivalent; 1: B (or a link) is worse; 2: it could not be decided; 3: bad input.
    """
    from assay.harness.decide.readers import looks_like_results, split_name

    kinds = [looks_like_results(name.partition("=")[2] or name) for name in models]
    if any(kinds):
        if not all(kinds):
            for name in (name for name, kind in zip(models, kinds, strict=True) if kind):
                split_name(name.partition("=")[2] or name)  # a file that is not there is the nearer mistake
            other = models[kinds.index(False)]
            raise BadInputError(
                f"{other!r} is no result file and no run, and cannot be compared with one: score its samples first"
            )
        given = {"corpus": corpus, "texts": texts, "greedy_tokens": greedy_tokens, "threads": threads}
        _refuse(
            given | asdict(problems) | asdict(sampling),
            MODELS_ONLY,
            "compares models, and these are result files",
        )
        verdicts = {compare_files(models, problems.suite, margin, files, shown, missing=missing)}
    else:
        given, defaults = (
            asdict(g) | {"missing": m} for g, m in ((files, missing), (options.RESULT_FILES, "bounds"))
        )
        _refuse(given, defaults, "is for result files, and these are models")
        verdicts = compare_models(
            models,
            corpus,
            texts,
            problems,
            sampling,
            margin,
            greedy_tokens,
            threads,
            results,
            shown,
            allow_weak=allow_weak,
        )
    if report_only:
        return
    if "worse" in verdicts:
        raise typer.Exit(WORSE)
    if "undecided" in verdicts:
        raise typer.Exit(UNDECIDED)


def _refuse(given: Mapping[str, Any], defaults: Mapping[str, Any], reason: str) -> None:
    """Raise BadInputError for an option that would change nothing."""
    for name, value in defaults.items():
        if given[name] != value:
            flag = {"form": "format"}.get(name, name).replace("_", "-")
            raise BadInputError(f"--{flag} {reason}: leave it out")


def compare_files(
    names: Sequence[str],
    suite: str | None,
    margin: float,
    files: options.ResultFiles,
    shown: options.Shown,
    *,
    missing: str,
) -> str:
    """Compare two result files or runs, print and write what they show, and return the verdict on the second."""
    from assay.harness.decide import compare_results
    from assay.harness.decide.comparison_page import comparison_document

    if len(names) != 2:
        raise BadInputError(
            f"{len(names)} result files: compare takes two, A and B; assay board takes any number"
        )
    baseline, candidate = (files.read(name, answers=files.html is not None) for name in names)
    result = compare_results(
        baseline,
        candidate,
        suite=suite,
        margin=margin,
        confidence=files.confidence,
        common=files.common,
        total=files.total,
        missing=missing,
    )
    files.write(comparison_document(result))
    if shown.as_json:
        print_json(result.to_json())
    else:
        show_comparison(result)
    return result.verdict


def show_comparison(result: ResultComparison) -> None:
    """Print the answer, the figures, the problems that turned, and what to know of the files."""
    from rich.text import Text

    from assay.harness.decide.comparison_page import (
        headline,
        noise_table,
        suites_table,
        turned_table,
        warning_lines,
    )
    from assay.harness.report import render_table
    from assay.harness.report.wording import visible

    console = screen()
    console.print(Text(visible(headline(result)), style="bold"), soft_wrap=True)
    console.print(render_table(suites_table(result), width=console.width))
    if any(s.noise.sampling is not None for s in result.suites):
        console.print(render_table(noise_table(result), width=console.width))
    turned = sum(len(s.lost) + len(s.gained) for s in result.suites)
    if turned:
        console.print(render_table(turned_table(result, SHOWN_TURNED), width=console.width))
    if turned > SHOWN_TURNED:
        console.print(
            f"and {turned - SHOWN_TURNED} more problems turned: --json, --markdown and --html have all of them"
        )
    for line in warning_lines(result):
        console.print(Text(visible(f"note: {line}"), style="yellow"), soft_wrap=True)


def compare_models(
    models: Sequence[str],
    corpus: str,
    texts: int,
    problems: options.Problems,
    sampling: options.Sampling,
    margin: float,
    greedy_tokens: int,
    threads: int,
    results: Path,
    shown: options.Shown,
    *,
    allow_weak: bool,
) -> set[str]:
    """Compare each model with the one before it, print the links, and return their verdicts."""
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
    return {link.verdict for link in links}


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
