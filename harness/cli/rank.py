"""`assay rank`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import Json, Quiet, app, print_json


@app.command()
def rank(
    file: Annotated[
        Path,
        typer.Argument(
            help="Rows a,b,winner (a name or tie; problem, where several are on one) as .csv, .jsonl or .json, or a "
            'JSON matrix {"names": [...], "wins": [[...]], "ties": [[...]]}.'
        ),
    ],
    anchor: Annotated[
        str | None, typer.Option("--anchor", help="Whose strength is 0; the mean of all.")
    ] = None,
    elo: Annotated[float, typer.Option("--elo", help="The Elo figure of the anchor.")] = 1000.0,
    confidence: Annotated[float, typer.Option("--confidence", help="Of intervals and tests.")] = 0.95,
    bootstrap: Annotated[
        int,
        typer.Option("--bootstrap", min=0, help="Intervals from so many resamples of problems (or rows)."),
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Of the resamples.")] = 0,
    independent: Annotated[
        bool,
        typer.Option("--independent", help="Take comparisons as independent, also where they name problems."),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bradley–Terry strengths and Elo from pairwise comparisons, with intervals; what is not proven shares a rank.

    Exit code 2: no finite strengths fit (somebody never won or never lost), or intervals are unmeasured.
    """
    from dataclasses import replace

    from harness.progress import Progress
    from harness.ranking import rank as rank_players
    from harness.ranking import read_matches

    matches = read_matches(file)
    if independent:
        matches = replace(matches, problem=None)
    with Progress(enabled=not quiet).task("bootstrap", total=bootstrap or None, unit="resamples") as task:
        found = rank_players(
            matches,
            anchor=anchor,
            elo_anchor=elo,
            confidence=confidence,
            resamples=bootstrap,
            seed=seed,
            on_resample=task.update,
        )
    if as_json:
        print_json({"file": str(file)} | found.to_json())
    else:
        from harness.ranking.render import render_ranking
        from harness.terminal import PLAIN_WIDTH, terminal

        terminal(plain_width=PLAIN_WIDTH).print(render_ranking(found))
    if found.unmeasured:
        raise typer.Exit(2)
