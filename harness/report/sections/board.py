"""The leaderboard table as HTML: figures in aligned columns, their intervals drawn on a shared axis beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assay.harness import formatting
from assay.harness.leaderboard.schema import Comparison, Difference, Estimate, Leaderboard, Row, headline
from assay.harness.report import charts, wording
from assay.harness.report.blocks import Footnotes
from assay.harness.report.sections import definitions as meaning
from assay.harness.report.wording import attribute, escape
from assay.sandbox.model import Outcome

ORDER = tuple(Outcome)
_LINE = "20"  # px from a row's top to the middle of its first line of text, where dots sit


@dataclass(frozen=True, slots=True)
class _Axes:
    score: charts.Scale
    difference: charts.Scale
    reference: float | None


def _axes(board: Leaderboard) -> _Axes:
    k = board.headline_k
    estimates = [headline(row, k) for row in board.rows]
    differences = [row.vs_reference for row in board.rows if row.vs_reference]
    return _Axes(
        score=charts.scale_for(
            [v for e in estimates for v in (e.low, e.value, e.high) if v is not None], max_ticks=5
        ),
        difference=charts.scale_for(
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
        f"Intervals are {escape(wording.confidence(board))}; the dashed line is {escape(board.reference)}.</p>"
        '<div class="scroll"><table class="board sortable" aria-describedby="about-board">'
        f"{_head(board, axes, others)}<tbody>{body}</tbody></table></div>"
        f"{_legend(board)}{notes.html()}"
    )


def _head(board: Leaderboard, axes: _Axes, others: list[int]) -> str:
    def sortable(label: str, css: str = "num", order: str = "descending") -> str:
        now = ' aria-sort="ascending"' if css == "rank" else ""
        return f'<th scope="col" class="{css}"{now}><button type="button" data-first="{order}">{label}</button></th>'

    def drawn(scale: charts.Scale, signed: bool) -> str:
        labels = {t: formatting.tick(t, signed=signed) for t in scale.ticks}
        return f'<td class="drawn">{charts.axis(scale, labels)}</td>'

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
        _cell("rank", wording.rank(board, row), label="rank", sort=row.rank),
        _name_cell(row),
        _score_cell(row, headline(row, k), f"pass@{k}", notes, "num score"),
        _score_plot(row, headline(row, k), axes, is_reference),
        *(_score_cell(row, headline(row, other), f"pass@{other}", notes, "num other") for other in others),
        *_difference_cells(board, row, axes, notes),
        _outcomes_cell(row),
        _plain_cell(row, "size_bytes", "size", row.size_bytes, formatting.size, notes),
        _plain_cell(row, "tok_per_s", "tok/s", row.tok_per_s, formatting.rate, notes),
        _cell("num quiet", formatting.GIVEN, label="made in")
        if row.given
        else _plain_cell(row, "make_s", "made in", row.make_s, formatting.seconds, notes),
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
    show = formatting.points if signed else formatting.percent
    middle = " to " if signed else formatting.DASH
    return f'<small class="range">{show(low)}{middle}{show(high)}</small>'


def _score_cell(row: Row, e: Estimate, label: str, notes: Footnotes, css: str) -> str:
    if e.value is None:
        return _cell(css, notes.unmeasured(wording.why_unmeasured(row, label, e.reason)), label=label)
    html = f"<b>{formatting.percent(e.value)}</b>{_range(e.low, e.high, signed=False)}"
    return _cell(css, html, label=label, sort=e.value)


def _mobile_axis(scale: charts.Scale, *, signed: bool) -> str:
    """The axis again, for narrow screens, where a row is a card and the table has no head."""
    labels = {t: formatting.tick(t, signed=signed) for t in scale.ticks}
    return f'<div class="own-axis">{charts.axis(scale, labels)}</div>'


def _score_plot(row: Row, e: Estimate, axes: _Axes, is_reference: bool) -> str:
    if e.value is None:
        return '<td class="drawn empty"></td>'
    between = (
        ""
        if e.low is None or e.high is None
        else f", {formatting.percent(e.low)} to {formatting.percent(e.high)}"
    )
    label = f"{row.variant}: {formatting.percent(e.value)} %{between}"
    plot = charts.interval(
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
        why = notes.unmeasured(wording.why_unmeasured(row, "vs_reference", d.reason))
        return [
            _cell("num delta", why, label=label),
            '<td class="drawn empty"></td>',
            '<td class="num quiet"></td>',
        ]
    value = f"<b>{formatting.points(d.difference)}</b>{_range(d.low, d.high, signed=True)}"
    plot = charts.interval(
        axes.difference,
        d.difference,
        d.low,
        d.high,
        label=wording.in_words(board, row.variant, d),
        mark=0.0,
        y=_LINE,
    )
    p = d.shown_p
    p_html = formatting.UNMEASURED if p is None else escape(formatting.p_value(p))
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
        f'<span class="t-{name}"><span class="sr">{name} </span>{formatting.count(n)}</span>'
        for name, n in parts
        if n
    )
    label = ", ".join(f"{n} {name}" for name, n in parts if n) or "no samples"
    share = row.outcomes.get(Outcome.PASS, 0) / max(1, sum(n for _, n in parts))
    n = "" if row.n_samples is None else f"<span>n {formatting.count(row.n_samples)}:</span> "
    html = f'{charts.stacked_bar(parts, label=label)}<small class="counts">{n}{counts}</small>'
    return _cell("outcomes", html, label="outcomes", sort=share)


def _plain_cell(
    row: Row, field: str, label: str, value: float | None, show: formatting.Show, notes: Footnotes
) -> str:
    if value is None:
        return _cell("num", notes.unmeasured(wording.why_unmeasured(row, field)), label=label)
    return _cell("num", escape(show(value)), label=label, sort=value)


def _legend(board: Leaderboard) -> str:
    used = [o.value for o in ORDER if any(row.outcomes.get(o) for row in board.rows)]
    keys = " ".join(f'<span class="key"><i class="b-{name}"></i>{name}</span>' for name in used)
    many = {row.n_samples for row in board.rows if row.n_samples is not None}
    each = f" of {formatting.count(many.pop())} samples a variant" if len(many) == 1 else ""
    return f'<p class="legend">Outcomes{each}: {keys}</p>'


# The page's other tables: families, paired comparisons, provenance.


def families(board: Leaderboard) -> str:
    """Small multiples: a row a family, a column a variant, one axis for all; empty where no family was scored."""
    names = list(dict.fromkeys(name for row in board.rows for name in row.families))
    if not names:
        return ""
    reference = board.row(board.reference).families
    names.sort(key=lambda name: -(_value(reference.get(name)) or 0.0))
    found = [e for row in board.rows for e in row.families.values()]
    scale = charts.scale_for(
        [v for e in found for v in (e.low, e.value, e.high) if v is not None], max_ticks=5
    )
    rows = [board.row(board.reference), *(r for r in board.ranked if r.variant != board.reference)]
    labels = {t: formatting.tick(t, signed=False) for t in scale.ticks}
    head = "".join(f'<th scope="col" colspan="2">{escape(row.variant)}</th>' for row in rows)
    axes = f'<td class="num"><small>%</small></td><td class="drawn">{charts.axis(scale, labels)}</td>' * len(
        rows
    )
    body = "".join(_family_row(name, rows, reference, scale) for name in names)
    return (
        f'<p class="note" id="about-families">pass@{board.headline_k} in percent, with '
        f"{escape(wording.confidence(board))} intervals; "
        f"the dashed line is {escape(board.reference)} in that family.</p>"
        '<div class="scroll"><table class="families" aria-describedby="about-families">'
        f'<thead><tr><th scope="col">family</th><th scope="col" class="num">problems</th>{head}</tr>'
        f'<tr class="axes"><td></td><td></td>{axes}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _value(e: Estimate | None) -> float | None:
    return None if e is None else e.value


def _family_row(name: str, rows: list[Row], reference: Mapping[str, Estimate], scale: charts.Scale) -> str:
    count = max((e.n or 0 for row in rows if (e := row.families.get(name))), default=0)
    cells = [
        f'<th scope="row">{escape(name or "(none)")}</th>',
        f'<td class="num quiet">{formatting.count(count) if count else formatting.DASH}</td>',
    ]
    first = rows[0].variant
    for row in rows:
        e = row.families.get(name)
        if e is None or e.value is None:
            why = wording.why_unmeasured(row, f"families.{name}", e.reason if e else "")
            cells.append(
                f'<td class="num quiet" colspan="2" title="{attribute(why)}">{formatting.UNMEASURED}</td>'
            )
            continue
        label = f"{row.variant}, {name}: {formatting.percent(e.value)} %"
        plot = charts.interval(
            scale,
            e.value,
            e.low,
            e.high,
            label=label,
            mark=_value(reference.get(name)),
            reference=row.variant == first,
        )
        cells += [f'<td class="num">{formatting.percent(e.value)}</td>', f'<td class="drawn">{plot}</td>']
    return f"<tr>{''.join(cells)}</tr>"


def comparisons(board: Leaderboard) -> str:
    """All pairs that were tested, each with what it found and what it could have found."""
    if not board.comparisons:
        return ""
    notes = Footnotes("why-pairs")
    scale = charts.scale_for(
        [v for c in board.comparisons for v in (c.low, c.difference, c.high) if v is not None],
        include=(0.0,),
        max_ticks=5,
    )
    labels = {t: formatting.tick(t, signed=True) for t in scale.ticks}
    body = "".join(_comparison_row(board, c, scale, notes) for c in board.comparisons)
    return (
        '<p class="note" id="about-pairs">First minus second, in percentage points of '
        f"pass@{board.headline_k}, on the same problems.</p>"
        '<div class="scroll"><table class="pairs" aria-describedby="about-pairs">'
        '<thead><tr><th scope="col">first</th><th scope="col">second</th><th scope="col">verdict on the first</th>'
        '<th scope="col" class="num">difference</th>'
        f'<td class="drawn">{charts.axis(scale, labels)}</td>'
        '<th scope="col" class="num">p</th><th scope="col" class="num">p adjusted</th>'
        '<th scope="col" class="num">smallest detectable</th><th scope="col" class="num">problems</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>{notes.html()}"
    )


def _comparison_row(board: Leaderboard, c: Comparison, scale: charts.Scale, notes: Footnotes) -> str:
    verdict = c.verdict or formatting.UNMEASURED
    start = f'<th scope="row">{escape(c.a)}</th><td>{escape(c.b)}</td><td class="v-{verdict}">{escape(verdict)}</td>'
    if c.difference is None:
        why = notes.unmeasured(c.reason or "no reason was recorded")
        return f'<tr>{start}<td class="num">{why}</td><td class="drawn"></td>{"<td></td>" * 4}</tr>'
    between = (
        ""
        if c.low is None or c.high is None
        else f"{formatting.points(c.low)} to {formatting.points(c.high)}"
    )
    plot = charts.interval(
        scale, c.difference, c.low, c.high, label=wording.in_words(board, c.a, c, other=c.b), mark=0.0
    )

    def shown(value: float | None, show: formatting.Show) -> str:
        return f'<td class="num">{formatting.DASH if value is None else escape(show(value))}</td>'

    return (
        f'<tr>{start}<td class="num"><b>{formatting.points(c.difference)}</b>'
        f'<small class="range">{between}</small></td>'
        f'<td class="drawn">{plot}</td>{shown(c.p, formatting.p_value)}{shown(c.p_adjusted, formatting.p_value)}'
        f"{shown(c.mde, formatting.percent)}{shown(c.n, lambda n: formatting.count(int(n)))}</tr>"
    )


def definitions(board: Leaderboard) -> str:
    items = "".join(
        f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in meaning.definitions(board)
    )
    return f'<dl class="definitions">{items}</dl>'


def provenance(board: Leaderboard) -> str:
    """What made these figures: enough to repeat them, and to prove that two runs answered the same problems."""
    facts = "".join(
        f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>" for key, value in meaning.facts(board)
    )
    return f'<dl class="facts">{facts}</dl>{_lineage(board)}{_steps(board)}'


def _lineage(board: Leaderboard) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(r.variant)}</th><td>{escape(r.kind)}</td>'
        f"<td>{escape(r.parent or formatting.DASH)}</td><td>{escape(r.recipe or formatting.DASH)}</td>"
        f'<td class="mono hash">{escape(r.sha256 or formatting.UNMEASURED)}</td><td>{escape(_judged(r))}</td></tr>'
        for r in board.rows
    )
    return (
        '<h3>Lineage</h3><div class="scroll"><table class="plain"><thead><tr><th scope="col">variant</th>'
        '<th scope="col">kind</th><th scope="col">made from</th><th scope="col">recipe</th>'
        '<th scope="col">sha256</th><th scope="col">judged, ended, extracted</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _judged(row: Row) -> str:
    """Counts of judging modes, finish reasons and extraction rules, in one line."""
    groups = (row.modes, {"from the cache": row.cached} if row.cached else {}, row.finish, row.extraction)
    return "; ".join(", ".join(f"{formatting.count(n)} {name}" for name, n in g.items()) for g in groups if g)


def _steps(board: Leaderboard) -> str:
    if not board.steps:
        return ""

    def took(seconds: float | None) -> str:
        return formatting.UNMEASURED if seconds is None else formatting.seconds(seconds)

    rows = "".join(
        f'<tr><th scope="row">{escape(s.name)}</th><td class="num">{took(s.seconds)}</td>'
        f'<td>{"reused" if s.reused else "done"}</td><td class="mono">{escape(s.id)}</td></tr>'
        for s in board.steps
    )
    return (
        '<h3>Steps</h3><div class="scroll"><table class="plain"><thead><tr><th scope="col">step</th>'
        '<th scope="col" class="num">took</th><th scope="col">in this run</th><th scope="col">hash of its inputs</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )
