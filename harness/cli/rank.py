"""`assay rank`: Bradley–Terry strengths from pairwise comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from assay.harness.cli.app import new_table, print_json, screen, verb
from assay.harness.cli.options import SHOWN, Seed, Shown

if TYPE_CHECKING:
    from rich.console import RenderableType

    from assay.harness.stats.ranking import Ranking

UNMEASURED = "unmeasured"
STYLE: dict[str, Any] = {"box": None, "pad_edge": False, "header_style": "dim"}
MOST_COLUMNS = 8  # of the table of chances; --json has all


@verb()
def rank(
    file: Annotated[
        Path,
        Argument(
            help="Rows a,b,winner (a name or tie; problem, where several are on one) as .csv, .jsonl or .json, or a "
            'JSON matrix {"names": [...], "wins": [[...]], "ties": [[...]]}.'
        ),
    ],
    anchor: Annotated[
        str | None, Option(help="The name whose strength is 0; left out, the mean of all is.")
    ] = None,
    elo: Annotated[float, Option(help="The Elo figure of the anchor.")] = 1000.0,
    confidence: Annotated[float, Option(help="The confidence level of intervals and tests.")] = 0.95,
    bootstrap: Annotated[
        int, Option(min=0, help="Compute intervals from this many resamples of problems (or rows).")
    ] = 0,
    seed: Seed = 0,
    independent: Annotated[
        bool, Option("--independent", help="Treat comparisons as independent even if they name problems.")
    ] = False,
    shown: Shown = SHOWN,
) -> None:
    """Fit Bradley–Terry strengths and Elo to pairwise comparisons.

    Players whose difference is not significant share a rank. Exit code 2: no finite strengths fit (somebody never won
    or never lost), or intervals are unmeasured.
    """
    from dataclasses import replace

    from assay.harness.stats import rank as rank_players
    from assay.harness.stats import read_matches

    matches = read_matches(file)
    if independent:
        matches = replace(matches, problem=None)
    with shown.progress().task("bootstrap", total=bootstrap or None, unit="resamples") as task:
        ranking = rank_players(
            matches,
            anchor=anchor,
            elo_anchor=elo,
            confidence=confidence,
            resamples=bootstrap,
            seed=seed,
            on_resample=task.update,
        )
    if shown.as_json:
        print_json({"file": str(file)} | ranking.to_json())
    else:
        screen().print(render_ranking(ranking))
    if ranking.unmeasured:
        raise typer.Exit(2)


def render_ranking(ranking: Ranking) -> RenderableType:
    """Return the standings, the expected scores of each pair if the names are few, and what the figures mean."""
    from rich.console import Group
    from rich.text import Text

    strengths = ("strength", f"{100 * ranking.confidence:g} % interval", "Elo", "interval")
    figures = (*strengths, "games", "wins", "ties", "losses")
    table = new_table("", "rank", "name", *figures, right=("rank", *figures), **STYLE)
    for s in ranking.standings:
        mark = "=" if s.rank in ranking.tied_ranks else ""
        counts = (UNMEASURED if x is None else f"{x:,}" for x in (s.wins, s.ties, s.losses))
        table.add_row(
            f"{s.rank}{mark}",
            s.name,
            f"{s.strength:+.2f}",
            "anchor" if s.name == ranking.anchor else _interval(s.low, s.high, "+.2f"),
            f"{s.elo:.0f}",
            "anchor" if s.name == ranking.anchor else _interval(s.elo_low, s.elo_high, ".0f"),
            f"{s.games:,}",
            *counts,
        )
    parts: list[RenderableType] = [table]
    if len(ranking.standings) <= MOST_COLUMNS:
        parts += [Text(), _chances(ranking)]
    parts += [Text(), *(Text(line, style="dim") for line in _notes(ranking))]
    return Group(*parts)


def _chances(ranking: Ranking) -> RenderableType:
    names = [s.name for s in ranking.standings]
    table = new_table("", "expected score, %, against", *names, right=names, **STYLE)
    for s, row in zip(ranking.standings, ranking.chances, strict=True):
        table.add_row(s.name, *("–" if p is None else f"{100 * p:.1f}" for p in row))
    return table


def _interval(low: float | None, high: float | None, form: str) -> str:
    if low is None or high is None:
        return UNMEASURED
    return f"{low:{form}} to {high:{form}}"


def _notes(ranking: Ranking) -> list[str]:
    from assay.harness.stats.bradley_terry import ELO

    on = "" if ranking.n_problems is None else f" on {ranking.n_problems:,} problems"
    where = ranking.anchor or "the mean"
    lines = [
        f"Bradley–Terry by maximum likelihood over {ranking.n:,} comparisons{on}; a tie is half a win to each.",
        f"Strengths are log odds, {where} at 0; Elo is {ELO:.2f} (400/ln 10) times that, {where} at "
        f"{ranking.elo_anchor:g}.",
        f"Intervals: {ranking.interval}.",
        f"Ranks: one plus the number of those proven stronger; = is shared. Test: {ranking.test}.",
    ]
    if "observed information" in ranking.interval and any(s.ties != 0 for s in ranking.standings):
        lines.append("With ties, intervals from the observed information are on the wide side.")
    lines += [f"{part} {UNMEASURED}: {reason}" for part, reason in ranking.unmeasured.items()]
    return lines
