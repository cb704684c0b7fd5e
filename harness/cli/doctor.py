"""`assay doctor`"""

from __future__ import annotations

import typer

from harness.cli.app import Json, app, print_json


@app.command()
def doctor(as_json: Json = False) -> None:
    """What this machine can do: isolation level, devices, engines, and what to install for more."""
    from harness.doctor import examine

    report = examine()
    if as_json:
        print_json(report.to_json())
    else:
        report.print()
    if not report.can_execute:
        raise typer.Exit(4)
