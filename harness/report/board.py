"""The leaderboard table as HTML: figures in aligned columns, their intervals drawn on a shared axis beside them."""

from __future__ import annotations

from dataclasses import dataclass

from harness.report import svg, words
from harness.report.footnotes import Footnotes
from harness.report.model import Difference, Estimate, Leaderboard, Row, headline
from harness.report.text import attribute, escape
from sandbox.model import Outcome

ORDER = tuple(Outcome)
_LINE = "20"  # px from a row's top to the middle of its first line of text, where dots sit


@dataclass(frozen=True, slots=True)
class _Axes:
    score: svg.Scale
    difference: svg.Scale
    reference: float | None


def _axes(board: Leaderboard) -> _Axes:
    k = board.headline_k
    estimates = [headline(row, k) for row in board.rows]
    differences = [row.vs_reference for row in board.rows if row.vs_reference]
    return _Axes(
        score=svg.scale_for(
            [v for e in estimates for v in (e.low, e.value, e.high) if v is not None], max_ticks=5
        ),
        difference=svg.scale_for(
            [v for d in differences for v in (d.low, d.difference, d.high) if v is not None],
            include=(0.0,),
            max_ticks=4,
        ),
        reference=headline(board.row(board.reference), k).value,
    )


def section(board: Leaderboard) -> str:
    """The whole section: table, legend of outcomes, notes."""
    axes, notes = _axes(board), Footnotes("why-board")
    others = [k for k in board.shown_k if k != board.headline_k]
    body = "".join(_row(board, row, axes, others, notes) for row in board.ranked)
    return (
        '<p class="note" id="about-board">Best first; variants that share a rank stand in the order they were made. '
        f"Intervals are {escape(words.confidence(board))}; the dashed line is {escape(board.reference)}.</p>"
        '<div class="scroll"><table class="board sortable" aria-describedby="about-board">'
        f"{_head(board, axes, others)}<tbody>{body}</tbody></table></div>"
        f"{_legend(board)}{notes.html()}"
    )


def _head(board: Leaderboard, axes: _Axes, others: list[int]) -> str:
    def sortable(label: str, css: str = "num", order: str = "descending") -> str:
        now = ' aria-sort="ascending"' if css == "rank" else ""
        return f'<th scope="col" class="{css}"{now}><button type="button" data-first="{order}">{label}</button></th>'

    def drawn(scale: svg.Scale, signed: bool) -> str:
        labels = {t: words.tick(t, signed=signed) for t in scale.ticks}
        return f'<td class="drawn">{svg.axis(scale, labels)}</td>'

    k = board.headline_k
    reference = escape(board.reference)
    return "".join(
        [
            "<thead><tr>",
            sortable("rank", "rank", "ascending"),
            sortable("variant", "name", "ascending"),
            sortable(f"pass@{k} <small>%</small>"),
            drawn(axes.score, signed=False),
            *(sortable(f"pass@{other} <small>%</small>") for other in others),
            sortable(f"vs {reference} <small>points</small>"),
            drawn(axes.difference, signed=True),
            sortable("p", order="ascending"),
            sortable("outcomes", "outcomes"),
            sortable("size", order="ascending"),
            sortable("tok/s"),
            sortable("made in", order="ascending"),
            "</tr></thead>",
        ]
    )


def _row(board: Leaderboard, row: Row, axes: _Axes, others: list[int], notes: Footnotes) -> str:
    is_reference = row.variant == board.reference
    k = board.headline_k
    cells = [
        _cell("rank", words.rank(board, row), label="rank", sort=row.rank),
        _name_cell(row),
        _score_cell(row, headline(row, k), f"pass@{k}", notes, "num score"),
        _score_plot(row, headline(row, k), axes, is_reference),
        *(_score_cell(row, headline(row, other), f"pass@{other}", notes, "num other") for other in others),
        *_difference_cells(board, row, axes, notes),
        _outcomes_cell(row),
        _plain_cell(row, "size_bytes", "size", row.size_bytes, words.size, notes),
        _plain_cell(row, "tok_per_s", "tok/s", row.tok_per_s, words.rate, notes),
        _cell("num quiet", words.GIVEN, label="made in")
        if row.given
        else _plain_cell(row, "make_s", "made in", row.make_s, words.seconds, notes),
    ]
    return f"<tr{' class=reference' if is_reference else ''}>{''.join(cells)}</tr>"


def _cell(css: str, html: str, *, label: str, sort: object = None) -> str:
    key = "" if sort is None else f' data-sort="{attribute(sort)}"'
    return f'<td class="{css}" data-label="{attribute(label)}"{key}>{html}</td>'


def _name_cell(row: Row) -> str:
    recipe = row.recipe or row.kind
    return (
        f'<th scope="row" class="name" data-sort="{attribute(row.variant)}"><b>{escape(row.variant)}</b>'
        f'<small class="recipe" title="{attribute(recipe)}">{escape(recipe)}</small></th>'
    )


def _range(low: float | None, high: float | None, *, signed: bool) -> str:
    if low is None or high is None:
        return ""
    show = words.points if signed else words.percent
    middle = " to " if signed else words.DASH
    return f'<small class="range">{show(low)}{middle}{show(high)}</small>'


def _score_cell(row: Row, e: Estimate, label: str, notes: Footnotes, css: str) -> str:
    if e.value is None:
        return _cell(css, notes.unmeasured(words.why_unmeasured(row, label, e.reason)), label=label)
    html = f"<b>{words.percent(e.value)}</b>{_range(e.low, e.high, signed=False)}"
    return _cell(css, html, label=label, sort=e.value)


def _mobile_axis(scale: svg.Scale, *, signed: bool) -> str:
    """The axis again, for narrow screens, where a row is a card and the table has no head."""
    labels = {t: words.tick(t, signed=signed) for t in scale.ticks}
    return f'<div class="own-axis">{svg.axis(scale, labels)}</div>'


def _score_plot(row: Row, e: Estimate, axes: _Axes, is_reference: bool) -> str:
    if e.value is None:
        return '<td class="drawn empty"></td>'
    between = (
        "" if e.low is None or e.high is None else f", {words.percent(e.low)} to {words.percent(e.high)}"
    )
    label = f"{row.variant}: {words.percent(e.value)} %{between}"
    plot = svg.interval(
        axes.score, e.value, e.low, e.high, label=label, mark=axes.reference, reference=is_reference, y=_LINE
    )
    return f'<td class="drawn of-score">{plot}{_mobile_axis(axes.score, signed=False)}</td>'


def _difference_cells(board: Leaderboard, row: Row, axes: _Axes, notes: Footnotes) -> list[str]:
    label = f"vs {board.reference}"
    if row.variant == board.reference:
        return [
            '<td class="num delta quiet">reference</td>',
            '<td class="drawn empty"></td>',
            '<td class="num quiet"></td>',
        ]
    d = row.vs_reference or Difference()
    if d.difference is None:
        why = notes.unmeasured(words.why_unmeasured(row, "vs_reference", d.reason))
        return [
            _cell("num delta", why, label=label),
            '<td class="drawn empty"></td>',
            '<td class="num quiet"></td>',
        ]
    value = f"<b>{words.points(d.difference)}</b>{_range(d.low, d.high, signed=True)}"
    plot = svg.interval(
        axes.difference,
        d.difference,
        d.low,
        d.high,
        label=words.in_words(board, row.variant, d),
        mark=0.0,
        y=_LINE,
    )
    p = d.shown_p
    p_html = words.UNMEASURED if p is None else escape(words.p_value(p))
    if d.verdict:
        p_html += f'<small class="range">{escape(d.verdict)}</small>'
    return [
        _cell("num delta", value, label=label, sort=d.difference),
        f'<td class="drawn of-delta">{plot}{_mobile_axis(axes.difference, signed=True)}</td>',
        _cell("num p", p_html, label="p", sort=p),
    ]


def _outcomes_cell(row: Row) -> str:
    parts = [(o.value, row.outcomes.get(o, 0)) for o in ORDER]
    counts = " ".join(
        f'<span class="t-{name}"><span class="sr">{name} </span>{words.count(n)}</span>'
        for name, n in parts
        if n
    )
    label = ", ".join(f"{n} {name}" for name, n in parts if n) or "no samples"
    share = row.outcomes.get(Outcome.PASS, 0) / max(1, sum(n for _, n in parts))
    n = "" if row.n_samples is None else f"<span>n {words.count(row.n_samples)}:</span> "
    html = f'{svg.stacked_bar(parts, label=label)}<small class="counts">{n}{counts}</small>'
    return _cell("outcomes", html, label="outcomes", sort=share)


def _plain_cell(
    row: Row, field: str, label: str, value: float | None, show: words.Show, notes: Footnotes
) -> str:
    if value is None:
        return _cell("num", notes.unmeasured(words.why_unmeasured(row, field)), label=label)
    return _cell("num", escape(show(value)), label=label, sort=value)


def _legend(board: Leaderboard) -> str:
    used = [o.value for o in ORDER if any(row.outcomes.get(o) for row in board.rows)]
    keys = " ".join(f'<span class="key"><i class="b-{name}"></i>{name}</span>' for name in used)
    many = {row.n_samples for row in board.rows if row.n_samples is not None}
    each = f" of {words.count(many.pop())} samples a variant" if len(many) == 1 else ""
    return f'<p class="legend">Outcomes{each}: {keys}</p>'
