"""A board as a document: scores and shared ranks, a pair of columns a suite, and the problems to look at."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from assay.harness import formatting
from assay.harness.decide.board import FEWEST_MODELS, LEVEL, Board, SuiteBoard, Suspect
from assay.harness.report import charts
from assay.harness.report.blocks import (
    Block,
    Cell,
    Column,
    Document,
    Heading,
    Listing,
    Note,
    Section,
    Table,
    figure,
    tabulate,
)

SHOWN = 25  # problems of a kind
DRAWN = 2  # suites, at most, whose scores are drawn beside their figures


def board_document(board: Board) -> Document:
    """Return the page of a board."""
    compared = [suite for suite in board.suites if len(suite.models) > 1]
    problems = [block for suite in compared for block in _problems(suite, several=len(board.suites) > 1)]
    sections = (
        Section("board", "Board", [board_table(board), *_warnings(board)]),
        Section("problems", "Problems to look at", problems),
    )
    names = formatting.enumerate_names([s.suite for s in board.suites])
    return Document(f"{len(board.models)} models on {names}", headline(board), _setting(board), sections)


def headline(board: Board) -> str:
    """Return who leads, in a sentence."""
    parts = []
    for suite in (suite for suite in board.suites if len(suite.models) > 1):
        first = [m for m, rank in zip(suite.models, suite.ranks, strict=True) if rank == 1]
        leads = "leads" if len(first) == 1 else "share the first rank"
        shown = formatting.enumerate_names(first) if len(first) <= 4 else f"{len(first)} models"
        parts.append(f"{shown} {leads} on {suite.suite}")
    return f"{'; '.join(parts)}." if parts else "No suite has more than one model, so that nothing is ranked."


def _setting(board: Board) -> str:
    counts = ", ".join(f"{formatting.count(s.n_problems)} of {s.suite}" for s in board.suites)
    return f"pass@1 with {board.confidence * 100:g} % intervals, problems: {counts}"


def board_table(board: Board) -> Table:
    """Return a row a model, and rank and score of each suite."""
    columns: list[Column[str]] = [
        Column("model", lambda m: Cell(m, sort=m), "l", css="name", names_row=True, first="ascending")
    ]
    for suite in board.suites:
        columns += _suite_columns(suite, drawn=len(board.suites) <= DRAWN)
    note = (
        "A rank is one plus the number of models proven better on the same problems (exact paired tests, Holm over all "
        "pairs of a suite); models that share a rank (=) are not told apart. Ordered by the mean over suites."
    )
    return tabulate(columns, board.models, name="board", note=note, css="sortable pairs")


def _suite_columns(suite: SuiteBoard, *, drawn: bool) -> list[Column[str]]:
    ends = [v for e in suite.scores if e is not None for v in (e.low, e.value, e.high)]
    scale = charts.scale_for(ends)
    missing = f"no file has verdicts of this model on {suite.suite}"

    def rank(model: str) -> Cell:
        place = suite.rank_of(model)
        return figure(place, lambda v: f"{v:g}{'=' if suite.shares_rank(model) else ''}", missing)

    def score(model: str) -> Cell:
        e = suite.score_of(model)
        if e is None:
            return figure(None, formatting.percent, missing if model not in suite.models else "no verdict")
        return figure(e.value, formatting.percent, low=e.low, high=e.high)

    def plot(model: str) -> Cell:
        e = suite.score_of(model)
        if e is None:
            return Cell()
        label = f"{model}, {suite.suite}: {formatting.percent(e.value)} %"
        return Cell(drawing=partial(charts.interval, scale, e.value, e.low, e.high, label=label))

    columns: list[Column[str]] = [
        Column("rank", rank, css="rank", first="ascending"),
        Column(suite.suite, score, unit="%", strong=True, first="descending"),
    ]
    plots: list[Column[str]] = [
        Column("", plot, css="drawn", only="html", axis=partial(charts.axis, scale, signed=False)),
    ]
    return columns + plots if drawn else columns


def _warnings(board: Board) -> list[Block]:
    lines = [
        f"{suite.suite}: {text}" if len(board.suites) > 1 else text
        for suite in board.suites
        for text in suite.warnings
    ]
    return [Listing(tuple(lines), "What to know of the files")] if lines else []


def _problems(suite: SuiteBoard, *, several: bool) -> list[Block]:
    blocks: list[Block] = [Heading(suite.suite)] if several else []
    share = f"{formatting.count(suite.solved)} of {formatting.count(suite.n_problems)}"
    solved = f"{share} problems are solved by every model"
    blocks.append(
        Note(f"{solved} every time, {formatting.count(len(suite.unsolved))} by none.{_named(suite.unsolved)}")
    )
    if suite.rare:
        rows = list(suite.rare.items())
        columns: list[Column[tuple[str, tuple[str, ...]]]] = [
            Column("hardly ever solved", lambda row: row[0], "l", css="mono", names_row=True),
            Column("only by", lambda row: formatting.enumerate_names(row[1]), "l"),
        ]
        blocks.append(tabulate(columns, rows[:SHOWN], name=f"rare-{suite.suite}", note=_of(len(rows))))
    return blocks + _suspects(suite)


def _suspects(suite: SuiteBoard) -> list[Block]:
    if suite.expected_suspects is None:
        text = (
            f"Suspect problems unmeasured: {len(suite.models)} models are too few; it takes {FEWEST_MODELS}."
        )
        return [Note(text)]
    text = (
        f"{formatting.count(suite.n_suspects)} problems are suspect: better models fail what worse ones pass (the "
        f"correlation with the score on all other problems is negative at the {LEVEL * 100:g} % level); chance alone "
        f"would show about {suite.expected_suspects:.0f}."
    )
    if not suite.suspects:
        return [Note(text)]
    columns: list[Column[Suspect]] = [
        Column("suspect", lambda s: s.problem, "l", css="mono", names_row=True),
        Column("correlation", lambda s: f"{s.correlation:+.2f}".replace("-", formatting.MINUS)),
        Column("p", lambda s: formatting.p_value(s.p)),
        Column("passed by, of the worse half", lambda s: _models(s.passed_by), "l"),
        Column("failed by, of the better half", lambda s: _models(s.failed_by), "l"),
    ]
    return [tabulate(columns, suite.suspects[:SHOWN], name=f"suspects-{suite.suite}", note=text)]


def _models(names: Sequence[str]) -> str:
    return (
        formatting.enumerate_names(names)
        if len(names) <= 3
        else f"{', '.join(names[:2])} and {len(names) - 2} more"
    )


def _named(ids: Sequence[str]) -> str:
    more = f" and {formatting.count(len(ids) - SHOWN)} more" if len(ids) > SHOWN else ""
    return f" These are {', '.join(ids[:SHOWN])}{more}." if ids else ""


def _of(total: int) -> str:
    return f"The first {SHOWN} of {formatting.count(total)}." if total > SHOWN else ""
