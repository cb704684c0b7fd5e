"""A comparison as a document: the verdict, the figures by suite, the problems that turned, and their answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from assay.harness import formatting
from assay.harness.decide.comparing import ResultComparison, SuiteComparison, Turn
from assay.harness.decide.results import Results
from assay.harness.report import charts
from assay.harness.report.blocks import (
    Block,
    Cell,
    Column,
    Document,
    Fold,
    Listing,
    Note,
    Pairs,
    Section,
    Table,
    figure,
    side_by_side,
    tabulate,
)

SHOWN_TURNED = 1_000  # problems that a page lists
SHOWN_ANSWERS = 60  # problems of a suite whose answers a page has
SHOWN_UNMEASURED = 10  # problems that a line lists
SHOWN_TEXT = 20_000  # characters of an answer


def comparison_document(result: ResultComparison) -> Document:
    """Return the page of a comparison."""
    several = len(result.suites) > 1
    sections = [
        Section("comparison", "Comparison", [suites_table(result), *_warnings(result)]),
        Section("turned", "Problems that turned", _turned_blocks(result)),
        Section("answers", "Answers", _answers(result, several=several)),
        Section("noise", "What it rests on", [noise_table(result)]),
        Section("files", "Files", [_files(result)]),
    ]
    return Document(
        f"{result.candidate} against {result.baseline}", headline(result), _setting(result), tuple(sections)
    )


def headline(result: ResultComparison) -> str:
    """Return the answer in a sentence, the suite that decides it first."""
    verdict = result.verdict
    deciding = next(s for s in result.suites if s.comparison.verdict == verdict)
    c = deciding.comparison
    figures = (
        f"{formatting.points(c.difference)} points ({formatting.span(c.low, c.high, formatting.points)}), "
        f"{formatting.p_clause(c.p_adjusted)}, on {formatting.count(c.n)} problems of {deciding.suite}"
    )
    margin = f"{result.margin * 100:g} points"
    if verdict == "better":
        return f"{result.candidate} is better than {result.baseline}: {figures}."
    if verdict == "worse":
        return f"{result.candidate} is worse than {result.baseline}: {figures}."
    if verdict == "equivalent":
        return f"{result.candidate} is as good as {result.baseline} within {margin}: {figures}."
    would = ""
    if c.mde is not None and c.mde < 1:
        would = f" A difference of {formatting.percent(c.mde)} points would show."
    elif c.mde is not None:
        would = " So few problems show no difference at all."
    return (
        f"Whether {result.candidate} is as good as {result.baseline} could not be decided: {figures}.{would}"
    )


def _setting(result: ResultComparison) -> str:
    formats = dict.fromkeys(r.format for s in result.suites for r in (s.baseline, s.candidate))
    return (
        f"pass@1 on the same problems, {result.confidence * 100:g} % intervals, a margin of "
        f"{result.margin * 100:g} points, verdicts as read from {formatting.enumerate_names(list(formats))}"
    )


def suites_table(result: ResultComparison) -> Table:
    """Return the figures, a row a suite."""
    values = [
        v for s in result.suites for v in (s.comparison.low, s.comparison.difference, s.comparison.high)
    ]
    scale = charts.scale_for(values, include=(0.0,))

    def score(place: int, s: SuiteComparison) -> Cell:
        e = s.scores[place]
        return figure(e.value, formatting.percent, low=e.low, high=e.high)

    def difference(s: SuiteComparison) -> Cell:
        c = s.comparison
        return figure(c.difference, formatting.points, low=c.low, high=c.high, css=f"v-{c.verdict}")

    def plot(s: SuiteComparison) -> Cell:
        c = s.comparison
        label = f"{s.suite}: {formatting.points(c.difference)} points"
        return Cell(
            drawing=partial(charts.interval, scale, c.difference, c.low, c.high, label=label, mark=0.0)
        )

    columns: list[Column[SuiteComparison]] = [
        Column("suite", lambda s: s.suite, "l", names_row=True),
        Column("verdict", lambda s: Cell(s.comparison.verdict, css=f"v-{s.comparison.verdict}"), "l"),
        Column("A", partial(score, 0), unit="%"),
        Column("B", partial(score, 1), unit="%"),
        Column("B − A", difference, unit="points", strong=True),
        Column("", plot, css="drawn", only="html", axis=partial(charts.axis, scale, signed=True)),
        Column("p", lambda s: formatting.p_value(s.comparison.p)),
        *_adjusted_column(result),
        Column("detectable", _detectable, unit="points", cost=True),
        Column("lost", lambda s: formatting.count(len(s.lost)), cost=True),
        Column("gained", lambda s: formatting.count(len(s.gained)), cost=True),
        Column("problems", lambda s: formatting.count(s.comparison.n), cost=True),
    ]
    note = (
        f"A is {result.baseline}; B is {result.candidate}, which is held against A: worse means that B is worse. "
        "Detectable is the smallest true difference that so many problems would show with 80 % power."
    )
    return tabulate(columns, result.suites, name="suites", note=note, css="pairs")


def _adjusted_column(result: ResultComparison) -> list[Column[SuiteComparison]]:
    if len(result.suites) < 2:
        return []
    return [Column("p adjusted", lambda s: formatting.p_value(s.comparison.p_adjusted))]


def _one_sided(s: SuiteComparison) -> str:
    return formatting.span(s.comparison.lower, s.comparison.upper, formatting.points)


def _detectable(s: SuiteComparison) -> Cell:
    mde = s.comparison.mde
    return figure(mde, formatting.percent, "the differences have no variance to judge by")


def warning_lines(result: ResultComparison) -> list[str]:
    """Return what a reader has to know of the files, a line each."""
    lines = list(result.warnings)
    for s in result.suites:
        if s.unmeasured:
            named = ", ".join(f"{p} ({who})" for p, who in list(s.unmeasured.items())[:SHOWN_UNMEASURED])
            rest = len(s.unmeasured) - SHOWN_UNMEASURED
            more = f" and {rest} more" if rest > 0 else ""
            lines.append(f"{s.suite}: {len(s.unmeasured)} problems are in no figure: {named}{more}")
    return lines


def _warnings(result: ResultComparison) -> list[Block]:
    lines = warning_lines(result)
    return [Listing(tuple(lines), "What to know of the files")] if lines else []


def _turned(result: ResultComparison) -> list[tuple[str, str, Turn]]:
    return [
        (s.suite, which, turn)
        for s in result.suites
        for which, turns in (("lost", s.lost), ("gained", s.gained))
        for turn in turns
    ]


def turned_table(result: ResultComparison, most: int | None = None) -> Table:
    """Return the problems that turned, those that B lost first; the first `most` of them."""
    columns: list[Column[tuple[str, str, Turn]]] = [
        Column("problem", lambda row: row[2].problem, "l", css="mono", names_row=True),
        Column("", lambda row: Cell(row[1], css="v-worse" if row[1] == "lost" else "v-better"), "l"),
        Column("A", lambda row: formatting.percent(row[2].baseline), unit="%"),
        Column("B", lambda row: formatting.percent(row[2].candidate), unit="%"),
    ]
    if len(result.suites) > 1:
        columns.insert(1, Column("suite", lambda row: row[0], "l"))
    return tabulate(columns, _turned(result)[:most], name="turned")


def _turned_blocks(result: ResultComparison) -> list[Block]:
    n = len(_turned(result))
    blocks: list[Block] = [turned_table(result, SHOWN_TURNED)] if n else []
    if n > SHOWN_TURNED:
        rest = formatting.count(n - SHOWN_TURNED)
        blocks.append(Note(f"And {rest} more problems; --json has all of them."))
    return blocks


def noise_table(result: ResultComparison) -> Table:
    """Return the bounds that equivalence rests on, the standard error of each difference and its two parts."""

    def part(name: str, s: SuiteComparison) -> Cell:
        return figure(getattr(s.noise, name), formatting.percent, s.noise.reason)

    columns: list[Column[SuiteComparison]] = [
        Column("suite", lambda s: s.suite, "l", names_row=True),
        Column("one-sided bounds", _one_sided, unit="points"),
        Column("standard error", partial(part, "se"), unit="points"),
        Column("from samples", partial(part, "sampling"), unit="points"),
        Column("from problems", partial(part, "problems"), unit="points"),
    ]
    note = (
        "Equivalent means that both one-sided bounds lie within the margin. More samples a problem would take away the "
        "part of the error from samples, and only more problems the other."
    )
    return tabulate(columns, result.suites, name="noise", note=note)


def _answers(result: ResultComparison, *, several: bool) -> list[Block]:
    """Return both answers to each problem that turned, side by side, where the files hold answers."""
    blocks: list[Block] = []
    for s in result.suites:
        turns = [t for t in (*s.lost, *s.gained) if any(a is not None and a.text for a in t.answers)]
        blocks += [_answer(result, s.suite if several else "", turn) for turn in turns[:SHOWN_ANSWERS]]
        if len(turns) > SHOWN_ANSWERS:
            blocks.append(
                Note(
                    f"{s.suite}: the answers to {len(turns) - SHOWN_ANSWERS} more problems are not in this page."
                )
            )
    return blocks


def _answer(result: ResultComparison, suite: str, turn: Turn) -> Fold:
    baseline, candidate = turn.answers
    titles, texts = [], []
    for label, answer in ((result.baseline, baseline), (result.candidate, candidate)):
        outcome = "" if answer is None else f": {answer.outcome}"
        detail = f" ({answer.detail[:200]})" if answer is not None and answer.detail else ""
        titles.append(f"{label}{outcome}{detail}")
        text = "" if answer is None else answer.text
        texts.append(
            text if len(text) <= SHOWN_TEXT else f"{text[:SHOWN_TEXT]}\n… cut: {len(text):,} characters"
        )
    change = f"{formatting.percent(turn.baseline)} % → {formatting.percent(turn.candidate)} %"
    summary = f"{turn.problem}{f' of {suite}' if suite else ''}: {change}"
    return Fold(summary, (side_by_side((titles[0], titles[1]), texts[0], texts[1]),), only="html")


def _files(result: ResultComparison) -> Pairs:
    items = []
    for s in result.suites:
        for label, r in (("A", s.baseline), ("B", s.candidate)):
            items.append((f"{label}, {s.suite}", _described(r)))
    return Pairs(tuple(items), "facts")


def _described(r: Results) -> str:
    parts: Sequence[str] = (
        str(r.path),
        f"read as {r.format}",
        f"{formatting.count(float(r.samples.sum()))} verdicts on {formatting.count(len(r.problems))} problems",
        f"version {r.version}" if r.version else "",
    )
    return ", ".join(part for part in parts if part)
