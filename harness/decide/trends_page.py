"""Change over time as a document: a drawing and a table a suite, and the steps that were detected."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from assay.harness import formatting
from assay.harness.decide.trends import Series, Step
from assay.harness.report import charts
from assay.harness.report.blocks import (
    Block,
    Cell,
    Column,
    Document,
    Figure,
    Figures,
    Listing,
    Note,
    Section,
    figure,
    tabulate,
)

ABOUT = (
    "Each run is held, problem by problem, against all runs since the last step of its series; a step is significant "
    "at the 5 % level for the series as a whole. A series is one variant of one experiment, with one version of the "
    "suite, the same sampling and one machine."
)


def trends_document(series: Sequence[Series]) -> Document:
    """Return the page of change over time."""
    suites = list(dict.fromkeys(s.suite for s in series))
    sections = [
        Section(f"suite-{i}", suite, _suite([s for s in series if s.suite == suite], i))
        for i, suite in enumerate(suites)
    ]
    runs = len({p.folder for s in series for p in s.points})
    title = f"{formatting.count(runs)} runs on {formatting.enumerate_names(suites)}"
    return Document(title, headline(series), "pass@1 by run, the oldest first", tuple(sections))


def headline(series: Sequence[Series]) -> str:
    """Return how often something changed, in a sentence, the last step first."""
    steps = [(s.points[step.place].created, s, step) for s in series for step in s.steps]
    if not steps:
        others = sum(bool(s.reason) for s in series)
        return f"No step in {len(series) - others} series" + (
            f"; in {others} more none was looked for." if others else "."
        )
    created, last, step = max(steps, key=lambda one: one[0])
    c = step.comparison
    figures = (
        f"{formatting.points(c.difference)} points ({formatting.span(c.low, c.high, formatting.points)})"
    )
    count = "one step" if len(steps) == 1 else f"{len(steps)} steps"
    return f"{count.capitalize()}; the last: {last.variant} on {last.suite}, {figures}, {formatting.day(created)}."


def _suite(series: Sequence[Series], number: int) -> list[Block]:
    drawn = [s for s in series if sum(p.score.value is not None for p in s.points) > 1]
    blocks: list[Block] = []
    if drawn:
        shown = drawn[: charts.COLOURS]
        figures = [Figure("pass@1, %", partial(charts.draw, _plot(shown)), keys=_keys(shown))]
        if speeds := [s for s in shown if sum(p.tok_per_s is not None for p in s.points) > 1]:
            figures.append(
                Figure("tokens a second", partial(charts.draw, _speed(speeds)), keys=_keys(speeds))
            )
        blocks.append(Figures(tuple(figures)))
        if len(drawn) > len(shown):
            blocks.append(Note(f"{len(drawn) - len(shown)} more series are in the table alone.", "html"))
    columns: list[Column[Series]] = [
        Column("variant", lambda s: s.variant, "l", names_row=True),
        Column("experiment", lambda s: s.experiment, "l"),
        Column("machine", lambda s: s.machine or formatting.DASH, "l"),
        Column("runs", lambda s: formatting.count(len(s.points))),
        Column("first", partial(_score, 0), unit="%"),
        Column("last", partial(_score, -1), unit="%", strong=True),
        Column("steps", _steps_found),
    ]
    blocks.append(tabulate(columns, series, name=f"series-{number}", note=ABOUT))
    rows = [(s, step) for s in series for step in s.steps]
    if rows:
        blocks.append(tabulate(_step_columns(), rows, name=f"steps-{number}"))
    folders = dict.fromkeys(p.folder for s in series for p in s.points)
    return [*blocks, Listing(tuple(folders), "The runs' folders", "html")]


def _score(place: int, s: Series) -> Cell:
    e = s.points[place].score
    return figure(e.value, formatting.percent, e.reason, low=e.low, high=e.high)


def _steps_found(s: Series) -> Cell:
    return figure(None if s.reason else len(s.steps), formatting.count, s.reason)


def _step_columns() -> list[Column[tuple[Series, Step]]]:
    def difference(row: tuple[Series, Step]) -> Cell:
        c = row[1].comparison
        return figure(c.difference, formatting.points, low=c.low, high=c.high, css=f"v-{c.verdict}")

    return [
        Column("step at", lambda row: row[0].points[row[1].place].created, "l", names_row=True),
        Column("variant", lambda row: row[0].variant, "l"),
        Column("change", difference, unit="points", strong=True),
        Column("p", lambda row: formatting.p_value(row[1].comparison.p)),
        Column("runs before", lambda row: formatting.count(row[1].place - row[1].since)),
        Column("version", lambda row: row[0].points[row[1].place].version or formatting.DASH, "l"),
        Column(
            "model", lambda row: row[0].points[row[1].place].sha256[:12] or formatting.DASH, "l", css="mono"
        ),
        Column("folder", lambda row: row[0].points[row[1].place].folder, "l"),
    ]


def _plot(series: Sequence[Series]) -> charts.Plot:
    lines, dots = [], []
    for colour, s in enumerate(series):
        scores = [
            (float(i), 100 * p.score.value) for i, p in enumerate(s.points, 1) if p.score.value is not None
        ]
        lines.append(charts.Line(s.variant, [scores], colour))
        for step in s.steps:
            value = s.points[step.place].score.value
            if value is not None:
                text = f"{s.variant}, run {step.place + 1}: {formatting.points(step.comparison.difference)} points"
                dots.append((float(step.place + 1), 100 * value, text))
    return charts.Plot(lines, "run", "pass@1, %", "pass@1 of each variant by run", dots=dots)


def _speed(series: Sequence[Series]) -> charts.Plot:
    lines = [
        charts.Line(
            s.variant,
            [[(float(i), p.tok_per_s) for i, p in enumerate(s.points, 1) if p.tok_per_s is not None]],
            colour,
        )
        for colour, s in enumerate(series)
    ]
    return charts.Plot(lines, "run", "tok/s", "tokens a second of each variant by run")


def _keys(series: Sequence[Series]) -> tuple[tuple[int, str], ...]:
    return tuple((colour, s.variant) for colour, s in enumerate(series))
