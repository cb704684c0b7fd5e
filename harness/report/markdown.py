"""The leaderboard as Markdown, for a pull request or a README."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from assay.harness import formatting
from assay.harness.leaderboard.schema import (
    Comparison,
    Difference,
    Estimate,
    Leaderboard,
    Row,
    headline,
    read_leaderboard,
)
from assay.harness.report import wording
from assay.harness.report.sections import (
    answers,
    curves,
    learned,
    links,
    overlap,
    profiles,
    rewards,
    trainings,
)
from assay.harness.report.sections.definitions import definitions, facts
from assay.harness.report.sections.findings import setting, verdict
from assay.harness.report.wording import markdown as md
from assay.sandbox.model import Outcome


def render_markdown(leaderboard: Mapping[str, Any]) -> str:
    """The report's tables in words and figures. Raises BadInputError when the leaderboard is malformed."""
    board = read_leaderboard(leaderboard)
    parts = [
        f"# {md(board.experiment)}",
        f"**{md(verdict(board))}**",
        md(setting(board)) + ".",
        _leaderboard(board),
        _missing(board),
        _families(board),
        _comparisons(board),
        _links(board),
        _profiles(board),
        _trainings(board),
        _learned(board),
        _reward_models(board),
        _answers(board),
        _curves(board),
        _overlap(board),
        "## What the figures mean\n\n" + _pairs(definitions(board)),
        "## Provenance\n\n" + _pairs(facts(board)),
        _lineage(board),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: Iterable[str], align: str, rows: Iterable[Iterable[str]]) -> str:
    """A pipe table; `align` has one of l and r for each column. Cells are escaped already."""
    rule = ["---:" if a == "r" else "---" for a in align]
    lines = [list(head), rule, *(list(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- **{md(key)}**: {md(value)}" for key, value in pairs)


def _figure(value: float | None, show: formatting.Show) -> str:
    return formatting.UNMEASURED if value is None else md(show(value))


def _estimate(e: Estimate) -> str:
    if e.value is None or e.low is None or e.high is None:
        return _figure(e.value, formatting.percent)
    return f"{formatting.percent(e.value)} ({formatting.percent(e.low)}{formatting.DASH}{formatting.percent(e.high)})"


def _difference(d: Difference) -> str:
    if d.difference is None or d.low is None or d.high is None:
        return _figure(d.difference, formatting.points)
    return f"{formatting.points(d.difference)} ({formatting.points(d.low)} to {formatting.points(d.high)})"


def _leaderboard(board: Leaderboard) -> str:
    head = [
        "rank",
        "variant",
        *(f"pass@{k} %" for k in board.shown_k),
        f"vs {md(board.reference)}, points",
        "p",
        "n",
        "outcomes",
        "size",
        "tok/s",
        "made in",
    ]
    align = "rl" + "r" * len(board.shown_k) + "rrrlrrr"
    note = (
        f"Intervals are {wording.confidence(board)}; best first; = marks a shared rank; "
        "n is the samples of a variant."
    )
    return f"## Leaderboard\n\n{_table(head, align, (_row(board, r) for r in board.ranked))}\n\n{note}"


def _row(board: Leaderboard, row: Row) -> list[str]:
    d = row.vs_reference or Difference()
    is_reference = row.variant == board.reference
    return [
        wording.rank(board, row),
        f"**{md(row.variant)}**",
        *(_estimate(headline(row, k)) for k in board.shown_k),
        "reference" if is_reference else _difference(d),
        "" if is_reference else _figure(d.shown_p, formatting.p_value),
        _figure(row.n_samples, lambda n: formatting.count(int(n))),
        ", ".join(f"{formatting.count(n)} {name.value}" for name in Outcome if (n := row.outcomes.get(name))),
        _figure(row.size_bytes, formatting.size),
        _figure(row.tok_per_s, formatting.rate),
        formatting.GIVEN if row.given else _figure(row.make_s, formatting.seconds),
    ]


def _missing(board: Leaderboard) -> str:
    """Why figures are missing, one line each."""
    return "\n".join(
        f"- {md(row.variant)}: {md(field)} {formatting.UNMEASURED}, {md(reason)}"
        for row in board.ranked
        for field, reason in row.unmeasured.items()
    )


def _families(board: Leaderboard) -> str:
    names = list(dict.fromkeys(name for row in board.rows for name in row.families))
    if not names:
        return ""
    head = ["family", *(md(row.variant) for row in board.ranked)]
    empty = Estimate()
    rows = ([md(n) or "(none)", *(_estimate(r.families.get(n, empty)) for r in board.ranked)] for n in names)
    table = _table(head, "l" + "r" * len(board.rows), rows)
    return f"## By family\n\npass@{board.headline_k} in percent.\n\n{table}"


def _comparisons(board: Leaderboard) -> str:
    if not board.comparisons:
        return ""

    def line(c: Comparison) -> list[str]:
        return [
            md(c.a),
            md(c.b),
            c.verdict or formatting.UNMEASURED,
            _difference(c),
            _figure(c.p, formatting.p_value),
            _figure(c.p_adjusted, formatting.p_value),
            _figure(c.mde, formatting.percent),
            _figure(c.n, lambda n: formatting.count(int(n))),
        ]

    head = ["first", "second", "verdict on the first", "difference, points", "p", "p adjusted"]
    head += ["smallest detectable", "problems"]
    return f"## Paired comparisons\n\n{_table(head, 'lllrrrrr', map(line, board.comparisons))}"


def _profiles(board: Leaderboard) -> str:
    found = profiles.rows(board)
    if not found:
        return ""
    table = _table(profiles.HEAD, profiles.ALIGN, ([md(cell) for cell in cells] for cells, _ in found))
    return f"## Memory and speed alone\n\n{table}\n\n{profiles.note(board)}"


def _trainings(board: Leaderboard) -> str:
    if not board.trainings:
        return ""
    rows = ([md(cell) for cell in cells] for cells, _ in trainings.rows(board))
    missing = "\n".join(f"- {md(why)}" for row in board.trainings for why in trainings.reasons(row))
    table = _table(trainings.HEAD, trainings.ALIGN, rows)
    return f"## Training\n\n{table}\n\n{trainings.NOTE}" + (f"\n\n{missing}" if missing else "")


def _learned(board: Leaderboard) -> str:
    """What was learned and what it cost, a table each."""
    parts = []
    for table in learned.tables(board):
        body = ([md(cell) for cell in cells] for cells, _ in table.rows)
        parts.append(
            f"### {table.title}\n\n{_table(map(md, table.head), table.align, body)}\n\n{md(table.note)}"
        )
        missing = dict.fromkeys(why for _, reasons in table.rows for why in reasons)
        parts.append("\n".join(f"- {md(why)}" for why in missing))
    return "\n\n".join(part for part in parts if part)


def _reward_models(board: Leaderboard) -> str:
    if not board.reward_models:
        return ""
    found = list(rewards.rows(board))
    table = _table(rewards.HEAD, rewards.ALIGN, ([md(cell) for cell in cells] for cells, _ in found))
    parts = [f"### Reward models\n\n{table}\n\n{rewards.NOTE}"]
    parts.append("\n".join(f"- {md(why)}" for _, why in found if why))
    for name, model in board.reward_models.items():
        for run in model.runs:
            if run.accuracy is not None:
                bins = _table(rewards.BINS_HEAD, "rrrr", map(_escaped, rewards.bins(run)))
                seed = "" if run.seed is None else f", seed {run.seed}"
                parts.append(f"Calibration of {md(name)}{seed}:\n\n{bins}")
    return "\n\n".join(part for part in parts if part)


def _answers(board: Leaderboard) -> str:
    """What some answers were paid; their texts are in the page and in the file."""
    parts = [f"### Answers and what they were paid\n\n{answers.NOTE}"] if board.answers else []
    for name, found in board.answers.items():
        parts.append(md(answers.about(name, found)) + ".")
        if found.shown:
            rows = (_escaped(answers.cells(found, answer)) for answer in found.shown)
            parts.append(_table(map(md, answers.head(found)), answers.align(found), rows))
    return "\n\n".join(parts)


def _escaped(cells: Iterable[str]) -> list[str]:
    return [md(cell) for cell in cells]


def _curves(board: Leaderboard) -> str:
    if not board.curves:
        return ""
    table = _table(curves.HEAD, curves.ALIGN, ([md(cell) for cell in row] for row in curves.rows(board)))
    missing = [line for name, c in board.curves.items() for line in curves.missing(name, c)]
    note = "Means over the training seeds; every point of every seed is in leaderboard.json."
    listed = "\n".join(f"- {md(line)}" for line in missing)
    return f"### Curves\n\n{table}\n\n{note}" + (f"\n\n{listed}" if listed else "")


def _overlap(board: Leaderboard) -> str:
    if not board.contamination:
        return ""
    rows = ([md(cell) for cell in row] for row in overlap.rows(board))
    return f"## Training set and suite\n\n{_table(overlap.HEAD, overlap.ALIGN, rows)}"


def _links(board: Leaderboard) -> str:
    if not board.links:
        return ""
    rows = ([md(cell) for cell in links.figures(link)] for link in board.links)
    return f"## Chain\n\n{_table(links.HEAD, 'll' + 'r' * (len(links.HEAD) - 3) + 'l', rows)}\n\n{links.NOTE}"


def _lineage(board: Leaderboard) -> str:
    rows = (
        [
            md(r.variant),
            md(r.kind),
            md(r.parent or formatting.DASH),
            md(r.recipe or formatting.DASH),
            f"`{md(r.sha256)}`",
        ]
        for r in board.rows
    )
    return f"### Lineage\n\n{_table(['variant', 'kind', 'made from', 'recipe', 'sha256'], 'lllll', rows)}"
