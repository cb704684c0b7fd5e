"""`assay doctor`"""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from assay.harness.cli.app import AllowWeak, Json, Quiet, app, print_json


@app.command()
def doctor(as_json: Json = False) -> None:
    """What this machine can do: isolation level, devices, engines, and what to install for more."""
    from assay.harness.doctor import examine

    report = examine()
    if as_json:
        print_json(report.to_json())
    else:
        report.print()
    if not report.can_execute:
        raise typer.Exit(4)


# `assay sandbox selfcheck`


class Isolating(StrEnum):
    CELL = "cell"
    FRESH = "fresh"


class Backend(StrEnum):
    EMBEDDED = "embedded"
    DOCKER = "docker"


sandbox_app = typer.Typer(name="sandbox", help="The sandbox by itself.", no_args_is_help=True)
app.add_typer(sandbox_app)


@sandbox_app.callback()
def _root() -> None:
    """The sandbox by itself."""


@sandbox_app.command()
def selfcheck(
    corpus: Annotated[
        Path | None,
        typer.Option("--corpus", help="The attack corpus; a checkout's tests/attacks where not given."),
    ] = None,
    backend: Annotated[Backend, typer.Option("--backend", help="embedded or docker.")] = Backend.EMBEDDED,
    isolation: Annotated[
        Isolating, typer.Option("--isolation", help="cell, or fresh: namespaces of its own for each program.")
    ] = Isolating.CELL,
    as_json: Json = False,
    quiet: Quiet = False,
    allow_weak: AllowWeak = False,
) -> None:
    """Run the attack corpus on this machine: what got through, what was not denied, what leaked to the next sample."""
    from assay.harness.console import Progress
    from assay.harness.errors import MissingToolError, UnmeasuredError
    from assay.sandbox import IsolationError, Sandbox, SandboxError
    from assay.sandbox.model import Mode
    from assay.sandbox.selfcheck import DEFAULT_FOLDER, Finding, load_corpus, run_corpus, summarise

    progress = Progress(enabled=not quiet)
    rows, faults = [], list[Finding]()
    modes: tuple[Mode, ...] = ("split", "shared")
    try:
        attacks = load_corpus(corpus or DEFAULT_FOLDER)
        for mode in modes:
            progress.say(f"{len(attacks)} programs in {mode} mode, a canary after each")

            def box(mode: Mode = mode) -> Sandbox:
                return Sandbox(
                    backend=backend.value,
                    workers=1,
                    mode=mode,
                    isolation=isolation.value,
                    allow_weak=allow_weak,
                )

            found = run_corpus(box, attacks, mode)
            rows += summarise(backend.value, mode, found)
            faults += [f for f in found if not all(row.good for row in summarise(backend.value, mode, [f]))]
    except IsolationError as error:
        raise MissingToolError(str(error)) from error
    except SandboxError as error:
        raise UnmeasuredError(str(error)) from error
    if as_json:
        print_json(
            {
                "rows": [dataclasses.asdict(row) | {"good": row.good} for row in rows],
                "faults": [{"attack": f.attack.name, "outcome": f.verdict.outcome.value} for f in faults],
            }
        )
    else:
        _show([dataclasses.asdict(row) | {"good": row.good} for row in rows], [f.attack.name for f in faults])
    if faults:
        raise typer.Exit(1)


def _show(rows: list[dict[str, object]], faults: list[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    from assay.harness.console import terminal

    table = Table(title="Attack corpus", title_justify="left")
    names = ("backend", "mode", "kind", "run", "wrong_passes", "undenied", "unexpected", "canary_differences")
    for name in names:
        table.add_column(name.replace("_", " "))
    for row in rows:
        table.add_row(*(str(row[name]) for name in names), style="" if row["good"] else "red")
    console = terminal()
    console.print(table)
    console.print(
        "A forgery that passes in shared mode is that mode's known weakness: reports count shared verdicts."
    )
    if faults:
        console.print(Text.assemble(("not held:", "red"), f" {', '.join(faults)}"))
