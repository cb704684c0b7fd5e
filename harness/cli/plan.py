"""`assay plan`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import Json, app, print_json
from harness.cli.run import Results


@app.command()
def plan(
    experiment: Annotated[str, typer.Argument(help="An experiment file (TOML), or the name of a lab.")],
    results: Results = Path("results/runs"),
    as_json: Json = False,
) -> None:
    """The steps that `assay run` would do, which of them are done, and what the comparison could detect."""
    from rich.console import Console
    from rich.table import Table

    from harness.experiment import find_experiment, load_experiment
    from harness.plan import make_plan
    from harness.run import plan_json
    from harness.stats.power import detectable
    from harness.store import Store

    made = make_plan(load_experiment(find_experiment(experiment)))
    store = Store(results / made.experiment.name)
    done = {s.name: store.record(s.name, s.id) is not None for s in made.steps}
    effect = detectable(len(made.suite.problems), made.experiment.sampling.samples)
    if as_json:
        print_json(plan_json(made) | {"done": done, "detectable_difference": effect})
        return
    table = Table(title=f"{made.experiment.name}, run {made.run_id}", title_justify="left")
    for column in ("step", "id", "from", "state"):
        table.add_column(column)
    for step in made.steps:
        table.add_row(step.name, step.id, ", ".join(step.inputs), "done" if done[step.name] else "to do")
    console = Console()
    console.print(table)
    problems, samples = len(made.suite.problems), made.experiment.sampling.samples
    console.print(
        f"{made.suite.name}: {problems} problems x {samples} samples per variant. A pass@1 difference of about "
        f"{100 * effect:.1f} points can be told from none (80 % power, 5 % level), or less where variants agree."
    )
