"""The page's other tables: families, paired comparisons, provenance."""

from __future__ import annotations

from collections.abc import Mapping

from harness.report import definitions as meaning
from harness.report import svg, words
from harness.report.footnotes import Footnotes
from harness.report.model import Comparison, Estimate, Leaderboard, Row
from harness.report.text import attribute, escape


def families(board: Leaderboard) -> str:
    """Small multiples: a row a family, a column a variant, one axis for all; empty where no family was scored."""
    names = list(dict.fromkeys(name for row in board.rows for name in row.families))
    if not names:
        return ""
    reference = board.row(board.reference).families
    names.sort(key=lambda name: -(_value(reference.get(name)) or 0.0))
    found = [e for row in board.rows for e in row.families.values()]
    scale = svg.scale_for([v for e in found for v in (e.low, e.value, e.high) if v is not None], max_ticks=5)
    rows = [board.row(board.reference), *(r for r in board.ranked if r.variant != board.reference)]
    labels = {t: words.tick(t, signed=False) for t in scale.ticks}
    head = "".join(f'<th scope="col" colspan="2">{escape(row.variant)}</th>' for row in rows)
    axes = f'<td class="num"><small>%</small></td><td class="drawn">{svg.axis(scale, labels)}</td>' * len(
        rows
    )
    body = "".join(_family_row(name, rows, reference, scale) for name in names)
    return (
        f'<p class="note" id="about-families">pass@{board.headline_k} in percent, with '
        f"{escape(words.confidence(board))} intervals; the dashed line is {escape(board.reference)} in that family.</p>"
        '<div class="scroll"><table class="families" aria-describedby="about-families">'
        f'<thead><tr><th scope="col">family</th><th scope="col" class="num">problems</th>{head}</tr>'
        f'<tr class="axes"><td></td><td></td>{axes}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _value(e: Estimate | None) -> float | None:
    return None if e is None else e.value


def _family_row(name: str, rows: list[Row], reference: Mapping[str, Estimate], scale: svg.Scale) -> str:
    count = max((e.n or 0 for row in rows if (e := row.families.get(name))), default=0)
    cells = [
        f'<th scope="row">{escape(name or "(none)")}</th>',
        f'<td class="num quiet">{words.count(count) if count else words.DASH}</td>',
    ]
    first = rows[0].variant
    for row in rows:
        e = row.families.get(name)
        if e is None or e.value is None:
            why = words.why_unmeasured(row, f"families.{name}", e.reason if e else "")
            cells.append(
                f'<td class="num quiet" colspan="2" title="{attribute(why)}">{words.UNMEASURED}</td>'
            )
            continue
        label = f"{row.variant}, {name}: {words.percent(e.value)} %"
        plot = svg.interval(
            scale,
            e.value,
            e.low,
            e.high,
            label=label,
            mark=_value(reference.get(name)),
            reference=row.variant == first,
        )
        cells += [f'<td class="num">{words.percent(e.value)}</td>', f'<td class="drawn">{plot}</td>']
    return f"<tr>{''.join(cells)}</tr>"


def comparisons(board: Leaderboard) -> str:
    """All pairs that were tested, each with what it found and what it could have found."""
    if not board.comparisons:
        return ""
    notes = Footnotes("why-pairs")
    scale = svg.scale_for(
        [v for c in board.comparisons for v in (c.low, c.difference, c.high) if v is not None],
        include=(0.0,),
        max_ticks=5,
    )
    labels = {t: words.tick(t, signed=True) for t in scale.ticks}
    body = "".join(_comparison_row(board, c, scale, notes) for c in board.comparisons)
    return (
        '<p class="note" id="about-pairs">First minus second, in percentage points of '
        f"pass@{board.headline_k}, on the same problems.</p>"
        '<div class="scroll"><table class="pairs" aria-describedby="about-pairs">'
        '<thead><tr><th scope="col">first</th><th scope="col">second</th><th scope="col">verdict on the first</th>'
        '<th scope="col" class="num">difference</th>'
        f'<td class="drawn">{svg.axis(scale, labels)}</td>'
        '<th scope="col" class="num">p</th><th scope="col" class="num">p adjusted</th>'
        '<th scope="col" class="num">smallest detectable</th><th scope="col" class="num">problems</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>{notes.html()}"
    )


def _comparison_row(board: Leaderboard, c: Comparison, scale: svg.Scale, notes: Footnotes) -> str:
    verdict = c.verdict or words.UNMEASURED
    start = f'<th scope="row">{escape(c.a)}</th><td>{escape(c.b)}</td><td class="v-{verdict}">{escape(verdict)}</td>'
    if c.difference is None:
        why = notes.unmeasured(c.reason or "no reason was recorded")
        return f'<tr>{start}<td class="num">{why}</td><td class="drawn"></td>{"<td></td>" * 4}</tr>'
    between = "" if c.low is None or c.high is None else f"{words.points(c.low)} to {words.points(c.high)}"
    plot = svg.interval(
        scale, c.difference, c.low, c.high, label=words.in_words(board, c.a, c, other=c.b), mark=0.0
    )

    def shown(value: float | None, show: words.Show) -> str:
        return f'<td class="num">{words.DASH if value is None else escape(show(value))}</td>'

    return (
        f'<tr>{start}<td class="num"><b>{words.points(c.difference)}</b><small class="range">{between}</small></td>'
        f'<td class="drawn">{plot}</td>{shown(c.p, words.p_value)}{shown(c.p_adjusted, words.p_value)}'
        f"{shown(c.mde, words.percent)}{shown(c.n, lambda n: words.count(int(n)))}</tr>"
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
        f"<td>{escape(r.parent or words.DASH)}</td><td>{escape(r.recipe or words.DASH)}</td>"
        f'<td class="mono hash">{escape(r.sha256 or words.UNMEASURED)}</td><td>{escape(_judged(r))}</td></tr>'
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
    return "; ".join(", ".join(f"{words.count(n)} {name}" for name, n in g.items()) for g in groups if g)


def _steps(board: Leaderboard) -> str:
    if not board.steps:
        return ""

    def took(seconds: float | None) -> str:
        return words.UNMEASURED if seconds is None else words.seconds(seconds)

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
