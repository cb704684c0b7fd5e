"""`assay pairs`: preference data from a model's own samples.

The samples and verdicts are those of a run (`results/runs/<name>/`): on disk before anything is paired, resumed after
a kill, and paired anew in other ways at no cost.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from assay.harness.cli import options
from assay.harness.cli.app import print_json, verb
from assay.harness.errors import BadInputError

if TYPE_CHECKING:
    from assay.harness.pipeline.runner import Run
    from assay.harness.pipeline.steps.pairs import PairingOptions
    from assay.trainers.preference.build import Built


VARIANT = "model"
PROBLEMS = options.Problems(suite="pocket")
SAMPLING = options.Sampling(n=8, temperature=1.0, max_new_tokens=256, style="chat")


@verb()
def pairs(
    model: options.Model,
    out: Annotated[Path, Option("--out", "-o", help="The JSON Lines file to write.")],
    problems: options.Problems = PROBLEMS,
    sampling: options.Sampling = SAMPLING,
    seed: options.Seed = 0,
    kind: Annotated[
        str,
        Option(
            help="Kinds of pair: execution (pass against fail), quality (among passes), or execution,quality."
        ),
    ] = "execution",
    per_problem: Annotated[int, Option(min=1, help="Pairs of each kind for one problem at most.")] = 4,
    match: Annotated[
        str, Option(help="The failing answer of a pair: the one nearest to the passing answer, or random.")
    ] = "nearest",
    single: Annotated[
        bool,
        Option(
            "--single", help="Write single answers with a label, which kto learns from, in place of pairs."
        ),
    ] = False,
    results: options.Results = options.RESULTS,
    workers: options.Workers = 0,
    threads: options.EngineThreads = 0,
    shown: options.Shown = options.SHOWN,
    allow_weak: options.AllowWeak = False,
) -> None:
    """Make preference pairs from a model's own samples.

    The model is sampled on the train split (or on problems of your own), every answer is executed, and pairs are
    written that dpo, ipo, kto, orpo and reward models learn from.
    """
    from assay.harness.experiment import Experiment
    from assay.harness.pipeline.plan import make_plan
    from assay.harness.pipeline.runner import run
    from assay.harness.pipeline.steps.pairs import KINDS, PairingOptions, agreement_in_words
    from assay.trainers.preference.build import few

    options.one_of("--match", match, ("nearest", "random"))
    if (sampling.n or 0) < 2:
        raise BadInputError(f"--n {sampling.n} gives nothing to prefer: give at least 2")
    if (temperature := sampling.temperature or 0) <= 0:
        raise BadInputError(f"--temperature {temperature:g} gives equal samples: give a temperature above 0")
    if problems.suite_path is None and problems.split not in (None, "train"):
        raise BadInputError(
            f"--split {problems.split}: learning from it would make what is measured there worthless; use train, or "
            "problems of your own (--suite jsonl --suite-path FILE)"
        )
    kinds = tuple(options.one_of("--kind", part.strip(), KINDS) for part in kind.split(","))
    split = problems.split or ("train" if problems.suite_path is None else None)
    experiment = options.table(
        Experiment,
        name=options.slug(f"pairs-{model}-{problems.suite}"),
        seed=seed,
        suite=problems.table() | {"split": split},
        sampling=sampling.table(),
        engine={"threads": threads},
        sandbox={"workers": workers},
        score={"reference": VARIANT},
        variant=[{"name": VARIANT, "model": model}],
    )
    progress = shown.progress()
    done = run(make_plan(experiment), results, progress, allow_weak=allow_weak)
    pairing = PairingOptions(kinds, per_problem, match, single, seed)  # type: ignore[arg-type]
    built, written = make_pairs(done, pairing, out)
    summary: dict[str, Any] = {
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
    for warning in summary["warnings"]:
        progress.say(f"warning: {warning}")
    if shown.as_json:
        print_json(summary)
        return
    by_kind = "" if single else f" ({', '.join(f'{n} by {k}' for k, n in summary['by_kind'].items())})"
    print(f"{written} {'answers' if single else 'pairs'} in {out}{by_kind}")
    print(f"  {built.mixed} of {built.problems} problems had answers that pass and answers that fail")
    for reason, count in built.dropped.items():
        print(f"  {count} answers left out: {reason}")
    print(f"  {agreement_in_words(built.agreement, built.compared)}")


def make_pairs(done: Run, pairing: PairingOptions, out: Path) -> tuple[Built, int]:
    """Write the pairs of a finished run to `out`, atomically.

    Returns the pairs and the number of lines written. Raises UnmeasuredError where the samples hold no preference.
    """
    plan = done.plan
    from assay.harness.pipeline.steps.execute import load_tables
    from assay.harness.pipeline.steps.pairs import answers_of, provenance, write_pairs

    rows = load_tables(done.store, plan)[VARIANT].to_dict("records")
    chat = plan.experiment.sampling.style == "chat"
    model = next(s.config["model"] for s in plan.steps if s.kind == "take")
    return write_pairs(
        answers_of(rows, plan.suite.by_id(), chat=chat),
        pairing,
        provenance(plan.step(f"generate-{VARIANT}").spec, model, plan.models[VARIANT].sha256),
        out,
    )
