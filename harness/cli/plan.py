"""`assay plan`: an experiment's steps before any is done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.harness.cli import options
from assay.harness.cli.app import Json, app, new_table, print_json
from assay.harness.cli.options import Results
from assay.harness.errors import BadInputError

if TYPE_CHECKING:
    from assay.harness.experiment.access import Access
    from assay.harness.pipeline.plan import Plan
    from assay.harness.pipeline.step_memory import StepMemory


NOT_KNOWN = "not known"


def _of_one_run(args: list[str], memory_flags: set[str]) -> bool:
    """Whether the arguments are those of `assay memory`, which was `assay plan --tier` in version 0.1."""
    flags = {argument.partition("=")[0] for argument in args if argument.startswith("-")}
    named = any(not argument.startswith("-") for argument in args)
    return bool(flags & memory_flags) or not (named or flags & {"--help", "-h"})


@app.command(cls=options.moved_to("memory", _of_one_run))
def plan(
    experiment: Annotated[
        str | None, typer.Argument(help="An experiment file (TOML), or the name of a lab.")
    ] = None,
    results: Results = Path("results/runs"),
    no_memory: Annotated[
        bool, typer.Option("--no-memory", help="Leave out the predicted memory, which reads the data.")
    ] = False,
    online: options.Online = False,
    imports: options.Import = False,
    as_json: Json = False,
) -> None:
    """Print the steps that `assay run` would do, which are done, and the difference that could be detected.

    No code of the file's is run and no server or hub is asked, unless --import or --online says so; what was left out
    for that is said, and the ids that depend on it are not known.

    The memory of one run (assay plan --tier) is printed by assay memory; both spellings work.
    """
    if experiment is None:
        raise BadInputError("name an experiment or a lab; for the memory of one run: assay memory")
    from assay.harness.experiment.access import Access

    plan_experiment(experiment, results, Access(online, imports), memory=not no_memory, as_json=as_json)


def plan_experiment(experiment: str, results: Path, access: Access, *, memory: bool, as_json: bool) -> None:
    """Print the steps that `assay run` would do, with the predicted memory of those that hold a model."""
    from assay.harness.console import PLAIN_WIDTH, terminal
    from assay.harness.experiment import find_experiment, load_experiment
    from assay.harness.leaderboard import precision
    from assay.harness.pipeline.plan import make_plan, plan_json
    from assay.harness.pipeline.step_memory import predict_steps
    from assay.harness.pipeline.store import Store

    planned = make_plan(load_experiment(find_experiment(experiment)), access)
    store = Store(results / planned.experiment.name)
    done = {
        s.name: None if s.name in planned.unknown else store.record(s.name, s.id) is not None
        for s in planned.steps
    }
    predicted = predict_steps(planned) if memory else {}
    shown = precision.planned(planned)
    if as_json:
        print_json(
            plan_json(planned)
            | {"done": done, "detectable_difference": shown.effect, "precision": shown.to_json()}
            | {"left_out": planned.left_out}
            | {"memory": {name: one.to_json() for name, one in predicted.items()}}
        )
        return
    columns = ("step", "id", "from", "state", *(["predicted peak"] if predicted else []))
    run_id = NOT_KNOWN if planned.unknown else planned.run_id
    table = new_table(f"{planned.experiment.name}, run {run_id}", *columns)
    for step in planned.steps:
        peak = _peak(predicted.get(step.name)) if predicted else []
        state = {True: "done", False: "to do", None: NOT_KNOWN}[done[step.name]]
        step_id = NOT_KNOWN if step.name in planned.unknown else step.id
        table.add_row(step.name, step_id, ", ".join(step.inputs), state, *peak)
    console = terminal(plain_width=PLAIN_WIDTH)
    console.print(table)
    for reason in planned.left_out:
        console.print(f"left out: {reason}")
    if predicted:
        console.print("Predicted: what tensors take, without the libraries and the device's own context.")
    for note, steps in _notes(planned, predicted).items():
        console.print(f"* {', '.join(steps)}: {note}")
    for pairs in planned.experiment.pairs:
        member = planned.experiment.members(pairs.name)[0].name
        sampled = planned.step(planned.maker(member).inputs[0]).spec
        console.print(
            f"{pairs.name}: preferences of {pairs.model}'s answers to {len(sampled.suite.problems)} problems of "
            f"{sampled.suite.name} ({sampled.table.split or 'all'}) x {pairs.sampling.samples} samples"
        )
    for line in precision.planned_words(planned):
        console.print(line)


def _peak(one: StepMemory | None) -> list[str]:
    """Return the cell of one step: empty where the step holds no model."""
    if one is None:
        return [""]
    if one.prediction is None:
        return [one.note.partition(":")[0]]
    return [f"{one.prediction.peak_bytes / 2**20:,.0f} MiB" + (" *" if one.note else "")]


def _notes(planned: Plan, predicted: dict[str, StepMemory]) -> dict[str, list[str]]:
    """Return the steps by the note on their figures, the training seeds of one variant together."""
    declared = {m.name: name for name in planned.declared for m in planned.experiment.members(name)}
    notes: dict[str, list[str]] = {}
    for name, one in predicted.items():
        step = planned.step(name)
        called = f"{step.label}-{declared[step.variant]}"
        if one.note and called not in notes.setdefault(one.note, []):
            notes[one.note].append(called)
    return notes
