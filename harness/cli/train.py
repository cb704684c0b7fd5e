"""`assay train`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.harness.cli.app import AllowWeak, Json, Quiet, app, print_json

if TYPE_CHECKING:
    from assay.harness.training.dry_run import DryRun
    from assay.harness.training.file import Job

Out = Annotated[Path | None, typer.Option("--out", "-o", help="The folder that the result goes to.")]


@app.command()
def train(
    config: Annotated[
        Path | None, typer.Argument(help="A training file (TOML); without it, variables say everything.")
    ] = None,
    out: Out = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done: settings, data, parameters, memory.")
    ] = False,
    settings: Annotated[
        bool, typer.Option("--settings", help="List the environment variables that are read.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    allow_weak: AllowWeak = False,
) -> None:
    """Train one model: an adapter, or every weight. Run again after a kill, it goes on where it was."""
    from assay.harness.training.dry_run import plan_training
    from assay.harness.training.file import load_job
    from assay.harness.training.settings import VARIABLES

    if settings:
        _print_variables(VARIABLES, as_json)
        return
    job = load_job(config, out, allow_weak=allow_weak)
    if dry_run:
        _print_dry_run(job, plan_training(job), as_json)
        return
    _train(job, as_json=as_json, quiet=quiet)


def _train(job: Job, *, as_json: bool, quiet: bool) -> None:
    from assay.harness.console import Progress
    from assay.harness.errors import BadInputError, MissingToolError
    from assay.trainers.errors import MissingExtraError, TrainersError
    from assay.trainers.model.prepare import alpha_warning
    from assay.trainers.preference.reward_report import load_report
    from assay.trainers.run.facts import load_facts
    from assay.trainers.run.log import TrainingStep
    from assay.trainers.run.process import train_alone

    if job.out is None:
        raise BadInputError("nowhere to write to: give -o DIR, or `out` in the file, or OUTPUT_DIR")
    progress = Progress(enabled=not quiet)
    for name, why in job.unused.items():
        progress.say(f"{name} is set and changes nothing: {why}")
    if warning := alpha_warning(job.config.adapter, job.config.quantization):
        progress.say(f"note: {warning}")
    progress.say(f"{job.base_name}: {job.records.counts()}")
    try:
        with progress.task("train", unit="steps") as task:

            def on_step(at: TrainingStep) -> None:
                task.update(at.step, f"of {at.total_steps}, loss {at.loss:.3f}, {at.tok_per_s:,.0f} tok/s")

            made = train_alone(job.base, job.config, job.records, job.out, on_step)
    except MissingExtraError as error:
        raise MissingToolError(str(error)) from error
    except TrainersError as error:
        raise BadInputError(str(error)) from error
    facts = load_facts(made.path)
    found = None if facts is None else facts.model_dump(mode="json")
    judged = load_report(made.path)
    measured = None if judged is None else judged.model_dump(mode="json")
    if as_json:
        print_json(
            {"path": str(made.path), "kind": made.kind.value, "sha256": made.sha256, "recipe": made.recipe}
            | {"training": found}
            | ({} if measured is None else {"reward_model": measured})
        )
        return
    print(f"{made.kind}: {made.path}\n{made.recipe}")
    if facts is not None:
        print(_in_words(facts))
    if measured is not None:
        print(_judged_in_words(measured, made.path))


def _judged_in_words(measured: dict[str, Any], folder: Path) -> str:
    from assay.harness.leaderboard.schema import RewardModelRun
    from assay.harness.report.sections.rewards import in_words
    from assay.trainers.preference.reward_report import REPORT

    said = in_words(RewardModelRun.model_validate(measured))
    return f"{said}\nmargins and calibration, bin by bin: {folder / REPORT}"


def _in_words(facts: Any) -> str:
    def gib(n: int | None, name: str) -> str:
        return f"unmeasured ({facts.unmeasured[name]})" if n is None else f"{n / 2**30:.2f} GiB"

    took = "unmeasured" if facts.train_s is None else f"{facts.train_s:.1f} s, {facts.tok_per_s:,.0f} tok/s"
    loss = "none" if facts.final_loss is None else f"{facts.final_loss:.4f}"
    return (
        f"{facts.steps} steps of {facts.effective_batch}, {facts.tokens:,} tokens, {took}; last loss {loss}\n"
        f"{facts.trainable_parameters:,} of {facts.total_parameters:,} parameters trained; "
        f"peak memory {gib(facts.peak_rss_bytes, 'peak_rss_bytes')}"
    )


def _print_variables(variables: Any, as_json: bool) -> None:
    if as_json:
        print_json([{"name": v.name, "setting": v.key or None, "meaning": v.meaning} for v in variables])
        return
    from rich.table import Table

    table = Table(title="environment, then .env, then the file, then the default", title_justify="left")
    for column in ("variable", "setting", "meaning"):
        table.add_column(column)
    for v in variables:
        table.add_row(v.name, v.key or "the hub client", v.meaning)
    _console().print(table)


def _print_dry_run(job: Job, found: DryRun, as_json: bool) -> None:
    settings = {k: {"value": v, "source": job.sources[k]} for k, v in job.settings().items()}
    if as_json:
        print_json({"settings": settings, "unused": job.unused} | found.to_json())
        return
    from rich.table import Table

    console = _console()
    table = Table(title="settings", title_justify="left")
    for column in ("setting", "value", "from"):
        table.add_column(column)
    for key, said in settings.items():
        table.add_row(key, str(said["value"]), said["source"])
    console.print(table)
    for name, why in job.unused.items():
        console.print(f"{name} is set and changes nothing: {why}")
    steps = f"{found.steps} steps" if found.steps is not None else f"steps unknown ({found.steps_reason})"
    share = 100 * found.trainable_parameters / found.total_parameters
    console.print(f"model: {job.base_name}, {job.base.kind} {job.base.path}, sha256 {job.base.sha256[:12]}")
    console.print(f"data: {found.records}", soft_wrap=True)
    console.print(_lengths_in_words(job, found), soft_wrap=True)
    if found.answers is not None:
        most = f"at most {found.answer_tokens:,} tokens in all"
        steps = f"{found.steps} updates, each on {found.answers} answers of {most}"
    console.print(f"effective batch {found.effective_batch}, {steps}, arithmetic {found.dtype}")
    console.print(
        f"trained: {found.trainable_parameters:,} of {found.total_parameters:,} parameters ({share:.2f} %)"
    )
    for warning in found.warnings:
        console.print(f"note: {warning}", soft_wrap=True)
    for number, example in enumerate(found.lengths.examples, start=1):
        for part, text in example.items():
            console.rule(f"example {number}: {part}", align="left")
            console.print(text, markup=False, highlight=False, soft_wrap=True)
    if found.lengths.examples:
        console.rule()
    _print_memory(console, found)


def _lengths_in_words(job: Job, found: DryRun) -> str:
    told = found.lengths
    said = f"{told.rows:,} {told.unit}, {told.tokens:,} tokens, longest {told.longest:,}"
    if found.answers is not None:
        said = f"{told.rows:,} {told.unit}, prompts of {told.tokens:,} tokens, longest {told.longest:,}"
    else:
        said += f"; {told.cut} cut at max_length = {job.config.max_length}"
    return said + "".join(f"; {n} {told.unit} left out: {why}" for why, n in told.left_out.items())


def _print_memory(console: Any, found: DryRun) -> None:
    from rich.table import Table

    if found.memory is None:
        console.print(f"memory: unmeasured, it could not be predicted: {found.memory_reason}")
        return
    told = found.memory.to_json()
    table = Table(title=f"predicted memory, largest in phase {told['peak_phase']!r}", title_justify="left")
    table.add_column("component")
    table.add_column("MiB", justify="right")
    table.add_column("at peak")
    table.add_column("what it is")
    for part in told["components"]:
        at_peak = "yes" if part["at_peak"] else ""
        table.add_row(part["name"], f"{part['bytes'] / 2**20:,.1f}", at_peak, part["note"])
    table.add_row(
        "peak", f"{told['peak_bytes'] / 2**20:,.1f}", "", "sum of what is held at the peak", style="bold"
    )
    console.print(table)
    for part in told["unmeasured"]:
        console.print(f"not in it: {part['name']}, {part['reason']}")


def _console() -> Any:
    from assay.harness.console import PLAIN_WIDTH, terminal

    return terminal(plain_width=PLAIN_WIDTH)
