"""`assay train`: one training, from a file and the environment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from typer import Argument, Option

from assay.harness.cli.app import new_table, print_json, screen, verb
from assay.harness.cli.options import SHOWN, AllowWeak, Import, Online, Shown, refuse
from assay.harness.errors import BadInputError

if TYPE_CHECKING:
    from assay.harness.training.dry_run import DryRun, Lengths
    from assay.harness.training.file import Job


@verb()
def train(
    config: Annotated[
        Path | None,
        Argument(help="A training file (TOML); left out, environment variables hold every setting."),
    ] = None,
    out: Annotated[Path | None, Option("--out", "-o", help="The folder of the result.")] = None,
    dry_run: Annotated[
        bool,
        Option("--dry-run", help="Print settings, data, parameters and predicted memory, and train nothing."),
    ] = False,
    settings: Annotated[
        bool,
        Option("--settings", help="List the settings of a training file and their environment variables."),
    ] = False,
    online: Online = False,
    imports: Import = False,
    shown: Shown = SHOWN,
    allow_weak: AllowWeak = False,
) -> None:
    """Train one model: an adapter, or every weight.

    Run again after a kill, it goes on where it was. A dry run runs no code of the file's and asks no hub, unless
    --import or --online says so, and says what it left out.
    """
    from assay.harness.experiment.access import EVERYTHING, Access
    from assay.harness.training.dry_run import plan_training
    from assay.harness.training.file import load_job

    if settings:
        _print_settings(shown.as_json)
        return
    if not dry_run:
        flags = {"--online": online or None, "--import": imports or None}
        refuse(flags, "these are for --dry-run; a training asks and imports what its file names")
    access = Access(online, imports) if dry_run else EVERYTHING
    job = load_job(config, out, allow_weak=allow_weak, access=access)
    if dry_run:
        _print_dry_run(job, plan_training(job), shown.as_json)
        return
    _train(job, shown)


def _train(job: Job, shown: Shown) -> None:
    from assay.harness.training.problems import settle_environment
    from assay.trainers.data.problems import Environment
    from assay.trainers.model.prepare import alpha_warning
    from assay.trainers.preference.reward_report import load_report
    from assay.trainers.run.facts import load_facts
    from assay.trainers.run.log import TrainingStep
    from assay.trainers.run.process import train_alone

    if job.out is None:
        raise BadInputError(
            "there is no folder for the result: give -o DIR, or `out` in the file, or OUTPUT_DIR"
        )
    progress = shown.progress()
    for name, reason in job.unused.items():
        progress.say(f"{name} is set and changes nothing: {reason}")
    if warning := alpha_warning(job.config.adapter, job.config.quantization):
        progress.say(f"note: {warning}")
    assert job.records is not None, job.left_out
    records, settings = job.records, cast("Any", job.config)
    if isinstance(records, Environment):
        records = settle_environment(records, settings.rollout, on_progress=progress.say_once)
    progress.say(f"{job.base_name}: {records.counts()}")
    with progress.task("train", unit="steps") as task:

        def on_step(at: TrainingStep) -> None:
            task.update(at.step, f"of {at.total_steps}, loss {at.loss:.3f}, {at.tok_per_s:,.0f} tok/s")

        trained = train_alone(job.base, job.config, records, job.out, on_step)
    facts = load_facts(trained.path)
    training = None if facts is None else facts.model_dump(mode="json")
    report = load_report(trained.path)
    measured = None if report is None else report.model_dump(mode="json")
    if shown.as_json:
        model = {"path": str(trained.path), "kind": trained.kind.value, "sha256": trained.sha256}
        judged = {} if measured is None else {"reward_model": measured}
        print_json(model | {"recipe": trained.recipe, "training": training} | judged)
        return
    print(f"{trained.kind}: {trained.path}\n{trained.recipe}")
    if facts is not None:
        print(_in_words(facts))
    if measured is not None:
        print(_judged_in_words(measured, trained.path))


def _judged_in_words(measured: dict[str, Any], folder: Path) -> str:
    from assay.harness.leaderboard.schema import RewardModelRun
    from assay.harness.report.sections.rewards import in_words
    from assay.trainers.preference.reward_report import REPORT

    text = in_words(RewardModelRun.model_validate(measured))
    return f"{text}\nmargins and calibration, bin by bin: {folder / REPORT}"


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


def _print_settings(as_json: bool) -> None:
    """Print the variables, and for a person also every setting of a training file with its sentence."""
    from assay.harness.training.settings import VARIABLES

    if as_json:
        print_json([{"name": v.name, "setting": v.key or None, "meaning": v.meaning} for v in VARIABLES])
        return
    from rich.markup import escape

    from assay.harness.cli.reference import TRAINING, rows

    console = screen()
    title = "environment, then the file, then .env, then the default"
    table = new_table(title, "variable", "setting", "meaning")
    for v in VARIABLES:
        table.add_row(v.name, v.key or "the hub client", v.meaning)
    console.print(table)
    for section in TRAINING:
        settings = new_table(section.heading.replace("`", ""), "setting", "value", "default", "meaning")
        for name, allowed, default, _, sentence in rows(section):
            settings.add_row(*(escape(text) for text in (name, allowed, default, sentence)))
        console.print(settings)


def _print_dry_run(job: Job, prepared: DryRun, as_json: bool) -> None:
    settings = {k: {"value": v, "source": job.sources[k]} for k, v in job.settings().items()}
    if as_json:
        print_json(
            {"settings": settings, "unused": job.unused, "left_out": job.left_out} | prepared.to_json()
        )
        return
    console = screen()
    table = new_table("settings", "setting", "value", "from")
    for key, setting in settings.items():
        table.add_row(key, str(setting["value"]), setting["source"])
    console.print(table)
    for name, reason in job.unused.items():
        console.print(f"{name} is set and changes nothing: {reason}")
    steps = (
        f"{prepared.steps} steps"
        if prepared.steps is not None
        else f"steps unknown ({prepared.steps_reason})"
    )
    share = 100 * prepared.trainable_parameters / prepared.total_parameters
    console.print(f"model: {job.base_name}, {job.base.kind} {job.base.path}, sha256 {job.base.sha256[:12]}")
    for reason in job.left_out:
        console.print(f"left out: {reason}", soft_wrap=True)
    if prepared.lengths is not None:
        console.print(f"data: {prepared.records}", soft_wrap=True)
        console.print(_lengths_in_words(job, prepared, prepared.lengths), soft_wrap=True)
    if prepared.answers is not None:
        most = f"at most {prepared.answer_tokens:,} tokens in all"
        steps = f"{prepared.steps} updates, each on {prepared.answers} answers of {most}"
    console.print(f"effective batch {prepared.effective_batch}, {steps}, arithmetic {prepared.dtype}")
    console.print(
        f"trained: {prepared.trainable_parameters:,} of {prepared.total_parameters:,} parameters ({share:.2f} %)"
    )
    for warning in prepared.warnings:
        console.print(f"note: {warning}", soft_wrap=True)
    examples = () if prepared.lengths is None else prepared.lengths.examples
    for number, example in enumerate(examples, start=1):
        for part, text in example.items():
            console.rule(f"example {number}: {part}", align="left")
            console.print(text, markup=False, highlight=False, soft_wrap=True)
    if examples:
        console.rule()
    _print_memory(console, prepared)


def _lengths_in_words(job: Job, prepared: DryRun, lengths: Lengths) -> str:
    prompts = "" if prepared.answers is None else "prompts of "
    cut = f"; {lengths.cut} cut at max_length = {job.config.max_length}" if prepared.answers is None else ""
    tokens = f"{prompts}{lengths.tokens:,} tokens, longest {lengths.longest:,}{cut}"
    return f"{lengths.rows:,} {lengths.unit}, {tokens}" + "".join(
        f"; {n} {lengths.unit} left out: {reason}" for reason, n in lengths.left_out.items()
    )


def _print_memory(console: Any, prepared: DryRun) -> None:
    if prepared.memory is None:
        console.print(f"memory: unmeasured, it could not be predicted: {prepared.memory_reason}")
        return
    memory = prepared.memory.to_json()
    title = f"predicted memory, largest in phase {memory['peak_phase']!r}"
    table = new_table(title, "component", "MiB", "at peak", "what it is", right=("MiB",))
    for part in memory["components"]:
        at_peak = "yes" if part["at_peak"] else ""
        table.add_row(part["name"], f"{part['bytes'] / 2**20:,.1f}", at_peak, part["note"])
    table.add_row(
        "peak", f"{memory['peak_bytes'] / 2**20:,.1f}", "", "sum of what is held at the peak", style="bold"
    )
    console.print(table)
    for part in memory["unmeasured"]:
        console.print(f"not in it: {part['name']}, {part['reason']}")
