"""`assay plan`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.harness.cli.app import Json, app, print_json
from assay.harness.cli.options import Results

if TYPE_CHECKING:
    from assay.harness.pipeline.plan import Plan
    from assay.harness.pipeline.step_memory import StepMemory

MEMORY = "Memory of one run"


@app.command()
def plan(
    experiment: Annotated[
        str | None,
        typer.Argument(
            help="An experiment file (TOML), or the name of a lab. Without one: the memory of one run."
        ),
    ] = None,
    results: Results = Path("results/runs"),
    tier: Annotated[
        str | None,
        typer.Option(
            "--tier", help="pocket, tiny, small (the default), medium or large.", rich_help_panel=MEMORY
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="A folder, config.json or hub id instead of a tier.", rich_help_panel=MEMORY
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option("--method", help="inference, full, lora, qlora or int8.", rich_help_panel=MEMORY),
    ] = "qlora",
    objective: Annotated[
        str,
        typer.Option(
            "--objective", help="sft, dpo, kto, orpo, reward, ppo, grpo or inference.", rich_help_panel=MEMORY
        ),
    ] = "sft",
    seq: Annotated[
        int | None,
        typer.Option(
            "--seq", help="Tokens of a sequence; 2048, or the model's context.", rich_help_panel=MEMORY
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", help="Examples in a step; 1, of kto 2.", rich_help_panel=MEMORY)
    ] = None,
    new_tokens: Annotated[
        int, typer.Option("--new-tokens", help="Inference: tokens written to each.", rich_help_panel=MEMORY)
    ] = 512,
    adapter: Annotated[
        str | None, typer.Option("--adapter", help="lora, dora, loha or lokr.", rich_help_panel=MEMORY)
    ] = None,
    rank: Annotated[
        int | None, typer.Option("--rank", help="Of the adapter; 16.", rich_help_panel=MEMORY)
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(
            "--targets", help="all-linear, attention, or names such as q_proj,v_proj.", rich_help_panel=MEMORY
        ),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            "--optimizer", help="As a training table names it; adamw_torch.", rich_help_panel=MEMORY
        ),
    ] = None,
    accumulation: Annotated[
        int | None,
        typer.Option("--accumulation", help="Passes to an optimiser step; 1.", rich_help_panel=MEMORY),
    ] = None,
    checkpointing: Annotated[
        bool | None,
        typer.Option(
            "--checkpointing/--no-checkpointing",
            help="Recompute activations; on for qlora and int8 on a GPU.",
            rich_help_panel=MEMORY,
        ),
    ] = None,
    attention: Annotated[
        str | None, typer.Option("--attention", help="eager, sdpa or flash; sdpa.", rich_help_panel=MEMORY)
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option("--loss", help="chunked (TRL's) or full (transformers').", rich_help_panel=MEMORY),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype",
            help="bf16, fp16 or fp32; what the device has, of ppo and grpo fp32.",
            rich_help_panel=MEMORY,
        ),
    ] = None,
    double_quant: Annotated[
        bool | None, typer.Option("--double-quant/--no-double-quant", rich_help_panel=MEMORY)
    ] = None,
    upcast: Annotated[
        bool | None,
        typer.Option(
            "--upcast/--no-upcast", help="The unquantised rest to fp32, as PEFT does.", rich_help_panel=MEMORY
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option("--reference", help="none, shared or separate reference model.", rich_help_panel=MEMORY),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device", help="auto, gpu, cpu, t4, h100, … or a size such as 8GiB.", rich_help_panel=MEMORY
        ),
    ] = None,
    auto: Annotated[
        bool, typer.Option("--auto", help="The largest tier that fits the device.", rich_help_panel=MEMORY)
    ] = False,
    no_memory: Annotated[
        bool,
        typer.Option("--no-memory", help="Of an experiment: leave the prediction out, which reads the data."),
    ] = False,
    as_json: Json = False,
) -> None:
    """An experiment's steps, which are done, what the comparison could detect; or the memory that one run needs."""
    from assay.harness.errors import BadInputError

    if experiment is not None:
        if tier or model or auto:
            raise BadInputError("give an experiment, or --tier, --model or --auto; not both")
        plan_experiment(experiment, results, memory=not no_memory, as_json=as_json)
        return
    from assay.harness.cli.memory import MemoryOptions, plan_memory
    from assay.harness.cli.options import table

    wishes: MemoryOptions = table(
        MemoryOptions,
        method=method,
        objective=objective,
        batch=batch,
        seq=seq,
        new_tokens=new_tokens,
        adapter=adapter,
        rank=rank,
        targets=targets,
        optimizer=optimizer,
        accumulation=accumulation,
        checkpointing=checkpointing,
        attention=attention,
        loss=loss,
        dtype=dtype,
        double_quant=double_quant,
        upcast=upcast,
        reference=reference,
    )
    plan_memory(wishes, tier=tier, model=model, device_name=device, auto=auto, as_json=as_json)


def plan_experiment(experiment: str, results: Path, *, memory: bool, as_json: bool) -> None:
    """The steps that `assay run` would do, with the memory predicted of those that hold a model."""
    from rich.table import Table

    from assay.harness.console import PLAIN_WIDTH, terminal
    from assay.harness.experiment import find_experiment, load_experiment
    from assay.harness.pipeline.plan import make_plan
    from assay.harness.pipeline.runner import plan_json
    from assay.harness.pipeline.step_memory import predict_steps
    from assay.harness.pipeline.store import Store
    from assay.harness.stats.paired import detectable

    made = make_plan(load_experiment(find_experiment(experiment)))
    store = Store(results / made.experiment.name)
    done = {s.name: store.record(s.name, s.id) is not None for s in made.steps}
    predicted = predict_steps(made) if memory else {}
    effect = detectable(len(made.suite.problems), made.experiment.sampling.samples)
    if as_json:
        print_json(
            plan_json(made)
            | {"done": done, "detectable_difference": effect}
            | {"memory": {name: one.to_json() for name, one in predicted.items()}}
        )
        return
    table = Table(title=f"{made.experiment.name}, run {made.run_id}", title_justify="left")
    for column in ("step", "id", "from", "state", *(["predicted peak"] if predicted else [])):
        table.add_column(column, overflow="fold")
    for step in made.steps:
        told = _peak(predicted.get(step.name)) if predicted else []
        state = "done" if done[step.name] else "to do"
        table.add_row(step.name, step.id, ", ".join(step.inputs), state, *told)
    console = terminal(plain_width=PLAIN_WIDTH)
    console.print(table)
    if predicted:
        console.print("Predicted: what tensors take, without the libraries and the device's own context.")
    for note, steps in _notes(made, predicted).items():
        console.print(f"* {', '.join(steps)}: {note}")
    for pairs in made.experiment.pairs:
        asked = made.preferences[made.experiment.members(pairs.name)[0].name]
        console.print(
            f"{pairs.name}: preferences of {pairs.model}'s answers to {len(asked.suite.problems)} problems of "
            f"{asked.suite.name} ({asked.experiment.suite.split or 'all'}) x {pairs.sampling.samples} samples"
        )
    problems, samples = len(made.suite.problems), made.experiment.sampling.samples
    console.print(
        f"{made.suite.name}: {problems} problems x {samples} samples per variant. A pass@1 difference of about "
        f"{100 * effect:.1f} points can be told from none (80 % power, 5 % level), or less where variants agree."
    )


def _peak(one: StepMemory | None) -> list[str]:
    """The cell of one step: empty where the step holds no model."""
    if one is None:
        return [""]
    if one.prediction is None:
        return [one.note.partition(":")[0]]
    return [f"{one.prediction.peak_bytes / 2**20:,.0f} MiB" + (" *" if one.note else "")]


def _notes(made: Plan, predicted: dict[str, StepMemory]) -> dict[str, list[str]]:
    """The steps by what is to be said of their figures, the training seeds of one variant together."""
    declared = {m.name: name for name in made.declared for m in made.experiment.members(name)}
    found: dict[str, list[str]] = {}
    for name, one in predicted.items():
        step = made.step(name)
        called = f"{step.kind}-{declared[step.variant]}"
        if one.note and called not in found.setdefault(one.note, []):
            found[one.note].append(called)
    return found
