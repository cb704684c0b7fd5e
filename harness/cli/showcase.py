"""`assay showcase`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import AllowWeak, Json, Quiet, app, print_json
from harness.cli.run import Results


@app.command()
def showcase(
    tier: Annotated[str, typer.Option("--tier", help="pocket, tiny, small, medium or large.")] = "small",
    auto_verify: Annotated[
        bool, typer.Option("--auto-verify", help="All steps, each with its gate.")
    ] = False,
    steps: Annotated[
        str,
        typer.Option(
            "--steps",
            help="Or some, with what they need: import,infer,train,merge,gguf,infer-gguf,profile,verify.",
        ),
    ] = "",
    model: Annotated[
        Path | None, typer.Option("--model", help="A local folder of the tier's model; nothing is fetched.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only the suite's first problems.")
    ] = None,
    results: Results = Path("results/runs"),
    as_json: Json = False,
    quiet: Quiet = False,
    allow_weak: AllowWeak = False,
) -> None:
    """Import, infer, train, merge, GGUF, infer, profile, verify: each step passes, fails, or is unmeasured and why.

    Exit code 0: every step passed; 1: one failed; 2: one is unmeasured; 3: no step was chosen.
    """
    from harness.memory import find_tier
    from harness.progress import Progress
    from harness.showcase import STEPS, check_steps, show

    wanted = check_steps(STEPS if auto_verify else [s.strip() for s in steps.split(",") if s.strip()])
    done = show(
        find_tier(tier),
        wanted,
        results,
        Progress(enabled=not quiet),
        model=model,
        limit=limit,
        allow_weak=allow_weak,
    )
    if as_json:
        print_json(done.to_json())
    else:
        from rich.table import Table
        from rich.text import Text

        from harness.terminal import PLAIN_WIDTH, terminal

        table = Table(title=f"showcase of {done.tier}", title_justify="left", box=None)
        for column in ("step", "status", ""):
            table.add_column(column)
        colour = {"pass": "green", "fail": "red", "unmeasured": "yellow"}
        for result in done.results:
            table.add_row(result.step, Text(result.status, style=colour[result.status]), result.said)
        terminal(plain_width=PLAIN_WIDTH).print(table)
        if done.folder.exists():
            print(f"raw samples, report and profile: {done.folder}")
    raise typer.Exit(done.exit_code)
