"""Build the tables with a row a variant: the leaderboard, its families, what each needs by itself, and the pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from assay.harness import formatting
from assay.harness.leaderboard.schema import Difference, Estimate, Leaderboard, Row, headline
from assay.harness.report import charts, wording
from assay.harness.report.blocks import QUIET, Block, Cell, Column, Note, Table, figure, tabulate
from assay.sandbox.model import Outcome


def leaderboard(board: Leaderboard) -> list[Block]:
    """Return the table of variants, best first, with the legend of its outcomes."""
    used = tuple(o.value for o in Outcome if any(row.outcomes.get(o) for row in board.rows))
    many = {row.n_samples for row in board.rows if row.n_samples is not None}
    each = f" of {formatting.count(many.pop())} samples a variant" if len(many) == 1 else ""
    table = leaderboard_table(board, board.shown_k)
    return [table, Note(f"Outcomes{each}:", "html", "legend", keys=used)]


def leaderboard_table(board: Leaderboard, shown_k: Sequence[int]) -> Table:
    """Return the leaderboard with pass@k for each of `shown_k`, the first of which is drawn and compared."""
    k, others = board.headline_k, [k for k in shown_k if k != board.headline_k]
    differences = [row.vs_reference for row in board.rows if row.vs_reference]
    estimates = [headline(row, k) for row in board.rows]
    scores = charts.scale_for([v for e in estimates for v in (e.low, e.value, e.high)])
    points = charts.scale_for(
        [v for d in differences for v in (d.low, d.difference, d.high)], include=(0.0,), max_ticks=4
    )
    total = board.suite.n_problems or 0
    problems: list[Column[Row]] = []
    if any(row.n_problems is not None and row.n_problems < total for row in board.rows):
        problems.append(Column("problems", lambda r: wording.of_problems(board, r.n_problems)))
    columns: list[Column[Row]] = [
        Column("rank", lambda r: Cell(wording.rank(board, r), sort=r.rank), css="rank", first="ascending"),
        Column("variant", _name, "l", css="name", names_row=True, strong=True, first="ascending"),
        _score_column(k, "score", strong=True),
        Column("", partial(_score_plot, board, scores), css="drawn of-score", only="html",
               axis=partial(charts.axis, scores, signed=False)),
        *(_score_column(other, "other", strong=True) for other in others),
        Column(f"vs {board.reference}", partial(_difference, board), unit="points", css="delta", strong=True,
               first="descending"),
        Column("", partial(_difference_plot, board, points), css="drawn of-delta", only="html",
               axis=partial(charts.axis, points, signed=True)),
        Column("p", partial(_p, board), css="p", first="ascending"),
        *problems,
        Column("n", lambda r: figure(r.n_samples, formatting.count), only="text", cost=True),
        Column("outcomes", _outcomes, "l", css="outcomes", first="descending", cost=True),
        Column("size", partial(_size, board), first="ascending", cost=True),
        Column("tok/s", partial(_own, "tok_per_s", formatting.rate), first="descending", cost=True),
        Column("made in", _made_in, first="ascending", cost=True),
    ]  # fmt: skip
    note = (
        "Best first; variants that share a rank (=) stand in the order they were made. Intervals are "
        f"{wording.confidence(board)}."
    )
    if any(board.base_of(row) for row in board.rows):
        note += " The size of an adapter stands with that of the base it is loaded onto."
    return tabulate(
        columns,
        board.ranked,
        name="board",
        note=note,
        drawn=f"The dashed line is {board.reference}.",
        css="board sortable",
        marked=board.row(board.reference),
    )


def _own(field: str, show: formatting.Show, row: Row) -> Cell:
    """Return a figure of the row itself, or why it is unmeasured."""
    return figure(getattr(row, field), show, wording.why_unmeasured(row, field))


def _name(row: Row) -> Cell:
    return Cell(row.variant, below=row.recipe or row.kind, sort=row.variant)


def _score_column(k: int | None, css: str = "", *, strong: bool = False) -> Column[Row]:
    def cell(row: Row) -> Cell:
        return estimate_cell(row, f"pass@{k}", headline(row, k))

    return Column(f"pass@{k}", cell, unit="%", css=css, strong=strong, first="descending")


def estimate_cell(row: Row, field: str, e: Estimate | None) -> Cell:
    """Return pass@k with its interval, or why it is unmeasured."""
    e = e or Estimate()
    reason = wording.why_unmeasured(row, field, e.reason)
    return figure(e.value, formatting.percent, reason, low=e.low, high=e.high)


def _score_plot(board: Leaderboard, scale: charts.Scale, row: Row) -> Cell:
    e = headline(row, board.headline_k)
    return _plot(
        scale, e, f"{row.variant}: ", headline(board.row(board.reference), board.headline_k).value,
        reference=row.variant == board.reference, y=charts.FIRST_LINE,
    )  # fmt: skip


def _plot(
    scale: charts.Scale, e: Estimate | None, name: str, mark: float | None, *, reference: bool, y: str = "50%"
) -> Cell:
    if e is None or e.value is None:
        return Cell()
    span = formatting.span(e.low, e.high, formatting.percent).replace(formatting.DASH, " to ")
    label = f"{name}{formatting.percent(e.value)} %{f', {span}' if span else ''}"
    return _interval(scale, e.value, e, label, mark=mark, reference=reference, y=y)


def _interval(
    scale: charts.Scale, value: float, ends: Estimate | Difference, label: str, **options: Any
) -> Cell:
    draw = partial(charts.interval, scale, value, ends.low, ends.high, label=label, **options)
    return Cell(drawing=draw)


def _difference(board: Leaderboard, row: Row) -> Cell:
    if row.variant == board.reference:
        return Cell("reference", css=QUIET)
    d = row.vs_reference or Difference()
    css = f"v-{d.verdict}" if d.verdict else ""
    reason = wording.why_unmeasured(row, "vs_reference", d.reason)
    return figure(d.difference, formatting.points, reason, low=d.low, high=d.high, css=css)


def _difference_plot(board: Leaderboard, scale: charts.Scale, row: Row) -> Cell:
    d = row.vs_reference
    if d is None or d.difference is None or row.variant == board.reference:
        return Cell()
    label = wording.in_words(board, row.variant, d)
    return _interval(scale, d.difference, d, label, mark=0.0, y=charts.FIRST_LINE)


def _p(board: Leaderboard, row: Row) -> Cell:
    d = row.vs_reference
    if d is None or d.difference is None or row.variant == board.reference:
        return Cell(css=QUIET)
    below = str(d.verdict or "")
    if d.p_adjusted is not None and d.p_adjusted != d.p:
        below += f" (adjusted {formatting.p_value(d.p_adjusted)})"
    shown = formatting.UNMEASURED if d.p is None else formatting.p_value(d.p)
    return Cell(shown, below=below.strip(), sort=d.p)


def _outcomes(row: Row) -> Cell:
    """Return the counts of the outcomes; a page sorts by the share that passed."""
    counts = tuple((o.value, n) for o in Outcome if (n := row.outcomes.get(o)))
    passed = row.outcomes.get(Outcome.PASS, 0) / max(1, sum(n for _, n in counts))
    text = ", ".join(f"{formatting.count(n)} {name}" for name, n in counts)
    return Cell(text, sort=passed if counts else None, counts=counts)


def _size(board: Leaderboard, row: Row) -> Cell:
    """Return the bytes of the artifact's own files, and those of the base that an adapter cannot run without."""
    own, base = _own("size_bytes", formatting.size, row), board.base_of(row)
    if row.size_bytes is None or base is None or base.size_bytes is None:
        return own
    both = row.size_bytes + base.size_bytes
    return Cell(own.text, f"+ {formatting.size(base.size_bytes)}", sort=both)


def _made_in(row: Row) -> Cell:
    return Cell(formatting.GIVEN, css=QUIET) if row.given else _own("make_s", formatting.seconds, row)


def families(board: Leaderboard) -> list[Block]:
    """Return small multiples: a row a family, a column a variant, one axis for all; nothing without families."""
    names = list(dict.fromkeys(name for row in board.rows for name in row.families))
    if not names:
        return []
    reference = board.row(board.reference)
    names.sort(key=lambda name: -((reference.families.get(name) or Estimate()).value or 0.0))
    estimates = [e for row in board.rows for e in row.families.values()]
    scale = charts.scale_for([v for e in estimates for v in (e.low, e.value, e.high)])

    def problems(name: str) -> str:
        n = max((e.n or 0 for row in board.rows if (e := row.families.get(name))), default=0)
        return formatting.count(n) if n else formatting.DASH

    columns: list[Column[str]] = [
        Column("family", lambda name: name or "(none)", "l", names_row=True),
        Column("problems", problems, css=QUIET),
    ]
    for row in [reference, *(r for r in board.ranked if r is not reference)]:
        columns += _family_columns(row, reference, scale)
    note = f"pass@{board.headline_k} in percent, with {wording.confidence(board)} intervals."
    drawn = f"The dashed line is {board.reference} in that family."
    return [tabulate(columns, names, name="families", note=note, drawn=drawn, css="families")]


def _family_columns(row: Row, reference: Row, scale: charts.Scale) -> list[Column[str]]:
    def value(name: str) -> Cell:
        return estimate_cell(row, f"families.{name}", row.families.get(name))

    def drawn(name: str) -> Cell:
        mark = (reference.families.get(name) or Estimate()).value
        label = f"{row.variant}, {name}: "
        return _plot(scale, row.families.get(name), label, mark, reference=row is reference)

    return [
        Column(row.variant, value, unit="%"),
        Column("", drawn, css="drawn", only="html", axis=partial(charts.axis, scale, signed=False)),
    ]


def comparisons(board: Leaderboard) -> list[Block]:
    """Return all pairs that were tested, each with what it showed and what it could have shown."""
    if not board.comparisons:
        return []
    values = [v for c in board.comparisons for v in (c.low, c.difference, c.high)]
    scale = charts.scale_for(values, include=(0.0,))

    def plot(c: Difference) -> Cell:
        if c.difference is None:
            return Cell()
        label = wording.in_words(board, c.a, c, other=c.b)
        return _interval(scale, c.difference, c, label, mark=0.0)

    def of(field: str, show: Callable[[Any], str]) -> Callable[[Difference], str]:
        return lambda c: formatting.DASH if getattr(c, field) is None else show(getattr(c, field))

    def verdict(c: Difference) -> Cell:
        word = c.verdict or formatting.UNMEASURED
        return Cell(word, css=f"v-{word}")

    def difference(c: Difference) -> Cell:
        reason = c.reason or wording.NO_REASON
        return figure(c.difference, formatting.points, reason, low=c.low, high=c.high)

    columns: list[Column[Difference]] = [
        Column("first", lambda c: c.a, "l", names_row=True),
        Column("second", lambda c: c.b, "l"),
        Column("verdict on the first", verdict, "l"),
        Column("difference", difference, unit="points", strong=True),
        Column("", plot, css="drawn", only="html", axis=partial(charts.axis, scale, signed=True)),
        Column("p", of("p", formatting.p_value)),
        Column("p adjusted", of("p_adjusted", formatting.p_value)),
        Column("smallest detectable", of("mde", formatting.percent)),
        Column("problems", lambda c: wording.of_problems(board, c.n)),
    ]
    note = (
        f"First minus second, in percentage points of pass@{board.headline_k}, on the same problems. p goes with the "
        f"interval; p adjusted allows for all {len(board.comparisons)} pairs (Holm), and better and worse rest on it. "
        "Equivalent is not adjusted for the number of pairs."
    )
    return [tabulate(columns, board.comparisons, name="pairs", note=note, css="pairs")]


def noise(board: Leaderboard) -> list[Block]:
    """Return where the noise of each difference from the reference comes from, and what would show a smaller one."""
    rows = [row for row in board.ranked if row.vs_reference is not None]
    if not any(row.vs_reference and row.vs_reference.precision for row in rows):
        return []
    reason = "one sample a problem, or one problem, shows no parts"

    def of(field: str, show: formatting.Show) -> Callable[[Row], Cell]:
        def cell(row: Row) -> Cell:
            precision = row.vs_reference.precision if row.vs_reference else None
            return figure(getattr(precision, field, None), show, reason)

        return cell

    def bought(field: str) -> Callable[[Row], Cell]:
        def cell(row: Row) -> Cell:
            precision = row.vs_reference.precision if row.vs_reference else None
            count = getattr(precision, field, None)
            return Cell(formatting.DASH) if count is None else Cell(formatting.count(count))

        return cell

    columns: list[Column[Row]] = [
        Column("variant", lambda row: row.variant, "l", names_row=True),
        Column("standard error", of("se", formatting.percent), unit="points", strong=True),
        Column("of problems", of("problems", formatting.percent), unit="points"),
        Column("of drawing samples", of("sampling", formatting.percent), unit="points"),
        Column("of training seeds", of("seeds", formatting.percent), unit="points"),
        Column("to show", of("target", formatting.percent), unit="points"),
        Column("samples", bought("samples_for_target")),
        Column("or seeds", bought("seeds_for_target")),
        Column("or problems", bought("problems_for_target")),
    ]
    note = (
        f"The standard error of each difference from {board.reference}; the squares of its parts add up to its own. "
        "Then how many samples a problem, training seeds or problems in all, each alone and the rest as it is, would "
        "show a difference of that size with 80 % power. A dash: no number of them would."
    )
    return [tabulate(columns, rows, name="noise", note=note)]


def profiles(board: Leaderboard) -> list[Block]:
    """Return what each variant needs by itself: memory and speed of its profile; nothing where none was profiled."""
    profile = next((row.profile for row in board.rows if row.profile is not None), None)
    if profile is None:
        return []
    work = profile.workload
    note = (
        "Each variant alone in a process of its own: peak memory is the largest resident set of that process, its "
        "libraries included, and the model's part is what came on top of them. Prompts of "
        f"{work.get('prompt_tokens')} random tokens are read and {work.get('new_tokens')} written to each, "
        f"{work.get('batch_size')} at a time; medians of {work.get('repeats')}. The load average is the machine's when "
        "the profile began: where it is not far below the number of cores, the speeds are too low."
    )

    def of(field: str, show: formatting.Show) -> Callable[[Row], Cell]:
        def cell(row: Row) -> Cell:
            holder = row if field in Row.model_fields else row.profile
            return figure(getattr(holder, field, None), show, wording.why_unmeasured(row, "peak_rss_bytes"))

        return cell

    columns: list[Column[Row]] = [
        Column("variant", lambda row: row.variant, "l", names_row=True),
        Column("peak memory", of("peak_rss_bytes", formatting.size)),
        Column("the model's part", of("added_rss_bytes", formatting.size)),
        Column("on the device", partial(_own, "vram_bytes", formatting.size)),
        Column("reading", of("prefill_tok_per_s", formatting.rate), unit="tok/s"),
        Column("writing", of("decode_tok_per_s", formatting.rate), unit="tok/s"),
        Column("load average", of("load_average", lambda load: f"{load:.1f}")),
    ]
    return [tabulate(columns, board.ranked, name="profiles", note=note)]
