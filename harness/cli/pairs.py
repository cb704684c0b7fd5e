"""`assay pairs`"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.harness.cli.app import AllowWeak, Json, Quiet, app, print_json
from assay.harness.cli.run import Results

if TYPE_CHECKING:
    from assay.harness.pipeline.runner import Run
    from assay.harness.pipeline.steps.pairs import PairingOptions
    from assay.trainers.preference.build import Built


@app.command()
def pairs(
    model: Annotated[str, typer.Argument(help="The model to sample: pocket, a folder or a hub id.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The JSON Lines file to write.")],
    suite: Annotated[
        str, typer.Option("--suite", help="Whose problems: pocket, jsonl, or another suite.")
    ] = "pocket",
    suite_path: Annotated[
        Path | None, typer.Option("--suite-path", help="The suite's file, where it reads one.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="train, unless --suite-path names problems of your own."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="Only the first problems.")] = None,
    n: Annotated[int, typer.Option("--n", help="Samples a problem.")] = 8,
    temperature: Annotated[float, typer.Option("--temperature", help="Above 0: samples must differ.")] = 1.0,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", help="Length of an answer, at most.")
    ] = 256,
    style: Annotated[str, typer.Option("--style", help="chat or completion.")] = "chat",
    seed: Annotated[int, typer.Option("--seed", help="Of the samples and of which are paired.")] = 0,
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            help="execution (pass against fail), quality (among passes), or both: execution,quality.",
        ),
    ] = "execution",
    per_problem: Annotated[
        int, typer.Option("--per-problem", help="Pairs a problem, at most, of each kind.")
    ] = 4,
    match: Annotated[
        str, typer.Option("--match", help="nearest: with the failing answer most like it; or random.")
    ] = "nearest",
    single: Annotated[
        bool,
        typer.Option("--single", help="Write answers with a label in place of pairs, as KTO takes them."),
    ] = False,
    results: Results = Path("results/runs"),
    workers: Annotated[int, typer.Option("--workers", help="Programs at a time; 0 is one per core.")] = 0,
    threads: Annotated[int, typer.Option("--threads", help="Of generation; 0 is one per core.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
    allow_weak: AllowWeak = False,
) -> None:
    """Sample a model, execute every answer, and write which is preferred: data for dpo, ipo, kto, orpo, reward."""
    from assay.harness.cli.options import slug, table
    from assay.harness.console import Progress
    from assay.harness.errors import BadInputError
    from assay.harness.experiment import Experiment
    from assay.harness.pipeline.plan import make_plan
    from assay.harness.pipeline.runner import run
    from assay.harness.pipeline.steps.pairs import KINDS, PairingOptions, agreement_in_words
    from assay.trainers.preference.build import few

    if match not in ("nearest", "random"):
        raise BadInputError(f"--match takes nearest or random; got {match!r}")
    if n < 2 or temperature <= 0 or per_problem < 1:
        raise BadInputError(
            "--n at least 2, --temperature above 0 and --per-problem at least 1: nothing to prefer else"
        )
    if suite_path is None and split not in (None, "train"):
        raise BadInputError(
            f"--split {split}: learning from it would make what is measured there worthless; use train, or problems of "
            "your own (--suite jsonl --suite-path FILE)"
        )
    kinds = tuple(part.strip() for part in kind.split(","))
    if not set(kinds) <= set(KINDS):
        raise BadInputError(f"--kind takes {', '.join(KINDS)}, or both with a comma between; got {kind!r}")
    split = split or ("train" if suite_path is None else None)
    experiment = table(
        Experiment,
        name=slug(f"pairs-{model}-{suite}"),
        seed=seed,
        suite={"name": suite, "path": suite_path, "split": split, "limit": limit},
        sampling={"samples": n, "temperature": temperature, "max_new_tokens": max_new_tokens, "style": style},
        engine={"threads": threads},
        sandbox={"workers": workers},
        score={"reference": VARIANT},
        variant=[{"name": VARIANT, "model": model}],
    )
    progress = Progress(enabled=not quiet)
    done = run(make_plan(experiment), results, progress, allow_weak=allow_weak)
    wanted = PairingOptions(kinds, per_problem, match, single, seed)  # type: ignore[arg-type]
    built, written = make_pairs(done, wanted, out)
    said: dict[str, Any] = {
        "file": str(out),
        "lines": written,
        "by_kind": None if single else dict(Counter(pair.kind for pair in built.pairs)),
        "kind": "single" if single else kind,
        "problems": built.problems,
        "mixed_problems": built.mixed,
        "dropped": dict(built.dropped),
        "quality_agreement": built.agreement,
        "quality_compared": built.compared,
        "model_sha256": done.plan.models[VARIANT].sha256,
        "warnings": few(written, "answers" if single else "pairs") + built.notes(),
    }
    for warning in said["warnings"]:
        progress.say(f"warning: {warning}")
    if as_json:
        print_json(said)
        return
    kinds_made = "" if single else f" ({', '.join(f'{n} by {k}' for k, n in said['by_kind'].items())})"
    print(f"{written} {'answers' if single else 'pairs'} in {out}{kinds_made}")
    print(f"  {built.mixed} of {built.problems} problems had answers that pass and answers that fail")
    for reason, count in built.dropped.items():
        print(f"  {count} answers left out: {reason}")
    print(f"  {agreement_in_words(built.agreement, built.compared)}")


# Preference data from a model's own samples, for `assay pairs`: drawn and executed as an evaluation is, then paired.
#
# The samples and verdicts are those of a run (`results/runs/<name>/`): on disk before anything is paired, resumed after
# a kill, and paired anew in other ways at no cost.

VARIANT = "model"


def make_pairs(done: Run, wanted: PairingOptions, out: Path) -> tuple[Built, int]:
    """Write `out`, whole or not at all; what was built, and how many lines were written. Raises UnmeasuredError where
    the samples hold no preference."""
    plan = done.plan
    from assay.harness.pipeline.steps.execute import load_tables
    from assay.harness.pipeline.steps.pairs import answers_of, provenance, write_pairs

    rows = load_tables(done.store, plan)[VARIANT].to_dict("records")
    chat = plan.experiment.sampling.style == "chat"
    model = next(s.config["model"] for s in plan.steps if s.kind == "take")
    return write_pairs(
        answers_of(rows, plan.suite.by_id(), chat=chat),
        wanted,
        provenance(plan.step(f"generate-{VARIANT}").spec, model, plan.models[VARIANT].sha256),
        out,
    )
