"""Build the drawings of each training's curves, and for text a table of where the curves began and ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from assay.harness import formatting
from assay.harness.leaderboard.schema import CurveRun, Curves, Leaderboard
from assay.harness.report import charts
from assay.harness.report.blocks import (
    Block,
    Column,
    Figure,
    Figures,
    Fold,
    Heading,
    Listing,
    Note,
    tabulate,
)
from assay.harness.report.sections.trainings import REINFORCEMENT

_PREFERENCES = ("dpo", "ipo", "kto", "orpo", "reward")
_MOST_TOGETHER = charts.COLOURS


@dataclass(frozen=True, slots=True)
class Chart:
    """The plan of one drawing: a heading, the unit on its y-axis, and the curves: (name in words, name in the log).

    `held_out/` before a name means held-out records. `factor` makes the log's unit the drawing's. Charts that are not
    `first` stand behind a fold.
    """

    title: str
    unit: str
    series: tuple[tuple[str, str], ...]
    first: bool = True
    factor: float = 1.0
    marks: tuple[tuple[str, str], ...] = ()
    include: tuple[float, ...] = ()
    note: str = ""


_RL = (
    Chart("Reward", "mean of an answer", (("reward", "reward"),)),
    Chart(
        "Checks passed",
        "% of answers",
        (("checks that pay", "pass_rate"), ("checks held out", "held_pass_rate")),
        factor=100,
    ),
    Chart(
        "Hacking gap",
        "points",
        (("paid minus held out", "gap"),),
        factor=100,
        include=(0.0,),
        note="checks that pay minus checks held out",
    ),
    Chart(
        "KL from the reference",
        "nats an answer",
        (("KL", "kl"),),
        marks=(("kl_target", "target"), ("kl_alarm", "alarm")),
        include=(0.0,),
    ),
    Chart("Entropy", "nats a token", (("entropy", "entropy"),), include=(0.0,)),
    Chart("Clip fraction", "% of tokens", (("clipped", "clip_fraction"),), factor=100, include=(0.0,)),
    Chart(
        "Variance the critic explains",
        "share of the returns'",
        (("explained", "explained_variance"),),
        include=(0.0,),
        note="1: it predicts every return; 0 or less: it adds nothing to the baseline",
    ),
    Chart("Length", "tokens an answer", (("length", "length"),)),
    Chart(
        "Time of an update",
        "s",
        (("generate", "generate_s"), ("wait for execution", "execute_wait_s"), ("train", "train_s")),
        include=(0.0,),
    ),
    Chart("Cut at the length limit", "% of answers", (("cut", "unfinished"),), False, 100, include=(0.0,)),
    Chart("Policy loss", "loss", (("policy loss", "policy_loss"),), False),
    Chart("Value loss", "loss", (("value loss", "value_loss"),), False),
    Chart("Price of KL", "reward a nat", (("coefficient", "kl_coefficient"),), False, include=(0.0,)),
    Chart("Gradient norm", "norm", (("before clipping", "grad_norm"),), False, include=(0.0,)),
    Chart("Learning rate", "rate", (("rate", "learning_rate"),), False, include=(0.0,)),
    Chart(
        "Not measured, and tampering",
        "answers an update",
        (("infra", "infra"), ("tampering", "tampering")),
        False,
        include=(0.0,),
    ),
)
_LOSS = Chart("Loss", "nats a token", (("learned from", "loss"), ("held out", "held_out/loss")))
_MACHINE = (
    Chart("Learning rate", "rate", (("rate", "learning_rate"),), False, include=(0.0,)),
    Chart("Gradient norm", "norm", (("before clipping", "grad_norm"),), False, include=(0.0,)),
    Chart("Speed", "tokens a second", (("speed", "tok_per_s"),), False, include=(0.0,)),
    Chart("Resident memory", "GiB", (("memory", "rss_gib"),), False),
)
_PREFERENCE = (
    Chart("Loss", "loss", _LOSS.series),
    Chart(
        "Margin",
        "preferred minus other",
        (("learned from", "margin"), ("held out", "held_out/margin")),
        include=(0.0,),
        note="of implicit rewards; ORPO: log odds ratio",
    ),
    Chart(
        "Accuracy",
        "% of pairs",
        (("learned from", "accuracy"), ("held out", "held_out/accuracy")),
        factor=100,
    ),
    Chart(
        "Log-probability",
        "nats an answer",
        (("preferred", "logp_chosen"), ("other", "logp_rejected")),
        note="IPO and ORPO: nats a token",
    ),
    Chart("KL estimate", "nats", (("KL", "kl"),), False),
    *_MACHINE,
)
_TOGETHER = {
    REINFORCEMENT: (
        ("Passed on held-out checks", "% of answers", "held_pass_rate", 100.0, ()),
        ("Hacking gap", "points", "gap", 100.0, (0.0,)),
        ("KL from the reference", "nats an answer", "kl", 1.0, (0.0,)),
        ("Length", "tokens an answer", "length", 1.0, ()),
    ),
    _PREFERENCES: (
        ("Accuracy on held-out pairs", "% of pairs", "held_out/accuracy", 100.0, ()),
        ("Accuracy on pairs learned from", "% of pairs", "accuracy", 100.0, ()),
    ),
}


def charts_of(curves: Curves) -> tuple[Chart, ...]:
    """Return the drawings of a method, the reward's parts among them."""
    if curves.method in REINFORCEMENT:
        parts = tuple(
            (f"{name} × {weight:g}", f"component/{name}") for name, weight in curves.weights.items()
        )
        components = Chart("Reward by component", "weighted mean", parts, include=(0.0,))
        return (_RL[0], components, *_RL[1:]) if len(parts) > 1 else _RL
    return _PREFERENCE if curves.method in _PREFERENCES else (_LOSS, *_MACHINE)


def curves(board: Leaderboard) -> list[Block]:
    """Return every training's drawings and the table that stands for them in text; nothing without trainings."""
    about = (
        "Thin lines are the training seeds, the strong line is their mean. Where a curve has more than 300 steps, each "
        "point is the mean over neighbouring ones."
    )
    if not board.curves:
        return []
    blocks: list[Block] = [Heading("Curves"), Note(about, "html"), _table(board)]
    for methods in _TOGETHER:
        blocks += _together(board, methods)
    for name, variant in board.curves.items():
        blocks += _variant(name, variant)
    return blocks


def _variant(name: str, curves: Curves) -> list[Block]:
    drawn = [(chart, figure) for chart in charts_of(curves) if (figure := _figure(name, curves, chart))]
    first = tuple(figure for chart, figure in drawn if chart.first)
    more = tuple(figure for chart, figure in drawn if not chart.first)
    seeds = f", {len(curves.runs)} training seeds" if len(curves.runs) > 1 else ""
    blocks: list[Block] = [Heading(name, f"{curves.method}{seeds}", 4, "html"), Figures(first)]
    if more:
        blocks.append(Fold(f"More curves of {name}", (Figures(more),), "html"))
    return [*blocks, Listing(tuple(missing(name, curves)), "Why curves are missing")]


def missing(name: str, curves: Curves) -> list[str]:
    """Say what is not drawn and why, one line a reason."""
    reasons: dict[str, list[str]] = {}
    for figure, reason in curves.unmeasured.items():
        reasons.setdefault(reason, []).append(_in_words(curves, figure))
    return [
        f"{name}: {formatting.enumerate_names(figures)} {formatting.UNMEASURED}: {reason}."
        for reason, figures in reasons.items()
    ]


def _in_words(curves: Curves, figure: str) -> str:
    for chart in charts_of(curves):
        for label, name in chart.series:
            if name == figure:
                is_abbreviation = chart.title[:2].isupper()  # KL
                title = chart.title if is_abbreviation else chart.title[0].lower() + chart.title[1:]
                return title if len(chart.series) == 1 else f"{title} ({label})"
    return figure


def _line(curves: Curves, label: str, name: str, factor: float, colour: int = 0) -> charts.Line | None:
    """Return a curve over all seeds that have it; the reward's parts are as they are paid: times their weights."""
    if name.startswith("component/"):
        factor = curves.weights.get(name.removeprefix("component/"), 1.0)
    seeds = [[(x, y * factor) for x, y in points] for run in curves.runs if (points := _points(run, name))]
    return charts.Line(label, seeds, colour) if seeds else None


def _points(run: CurveRun, name: str) -> list[tuple[float, float]]:
    short = name.removeprefix("held_out/")
    return (run.train if short == name else run.held_out).points(short)


def _figure(variant: str, curves: Curves, chart: Chart) -> Figure | None:
    given = [
        _line(curves, label, name, chart.factor, place) for place, (label, name) in enumerate(chart.series)
    ]
    lines = [line for line in given if line]
    if not lines or (not chart.first and all(y == 0 for line in lines for _, y in line.drawn)):
        return None
    marks = [
        (curves.marks[key], f"{label} {curves.marks[key]:g}")
        for key, label in chart.marks
        if key in curves.marks
    ]
    alarms = _alarms(curves) if chart.marks else []
    label = _spoken(variant, chart.title, chart.unit, lines)
    plot = charts.Plot(lines, curves.step, chart.unit, label, marks, alarms, chart.include)
    drawn = charts.near(plot)
    beyond = [text for value, text in marks if (value, text) not in drawn]
    count = sum(len(run.alarms) for run in curves.runs) if chart.marks else 0
    notes = (
        chart.note,
        f"{' and '.join(beyond)} above the drawing" if beyond else "",
        f"{count} alarm{'' if count == 1 else 's'}, the filled dots" if count else "",
    )
    return _captioned(chart.title, plot, "; ".join(note for note in notes if note))


def _captioned(title: str, plot: charts.Plot, note: str = "") -> Figure:
    """Return the figure with its lines' last values, named by colour where there are several."""
    lines = plot.lines
    keys = tuple((line.colour % charts.COLOURS, f"{line.label} {_last(line)}") for line in lines)
    draw = partial(charts.draw, plot)
    if len(lines) == 1:
        return Figure(title, draw, f"last {_last(lines[0])}", note=note)
    return Figure(title, draw, keys=keys, note=note)


def _last(line: charts.Line) -> str:
    mean = line.mean()
    return formatting.general(mean[-1][1], 3) if mean else formatting.DASH


def _alarms(curves: Curves) -> list[tuple[float, float, str]]:
    """Return where alarms are drawn: of a thinned curve, at the point that holds the step."""
    dots = []
    for run in curves.runs:
        kl = run.train.points("kl")
        for step, text in run.alarms.items():
            at = next(((x, y) for x, y in kl if x >= step), None)
            if at is not None:
                dots.append((*at, f"{text} (step {step})"))
    return dots


def _spoken(variant: str, title: str, unit: str, lines: Sequence[charts.Line]) -> str:
    parts = []
    for line in lines:
        if mean := line.mean():
            (first_x, first), (last_x, last) = mean[0], mean[-1]
            parts.append(f"{line.label} from {first:.3g} at {first_x:g} to {last:.3g} at {last_x:g}")
    return f"{variant}: {title}, {unit}: {'; '.join(parts)}"


def _together(board: Leaderboard, methods: tuple[str, ...]) -> list[Block]:
    """Return the same figure of several variants in one drawing, where there are several."""
    chosen = {name: curves for name, curves in board.curves.items() if curves.method in methods}
    shown = dict(list(chosen.items())[:_MOST_TOGETHER])
    figures = []
    for title, unit, name, factor, include in _TOGETHER[methods]:
        given = [
            _line(curves, variant, name, factor, place)
            for place, (variant, curves) in enumerate(shown.items())
        ]
        lines = [line for line in given if line]
        if len(lines) > 1:
            step = next(iter(shown.values())).step
            label = _spoken("together", title, unit, lines)
            figures.append(_captioned(title, charts.Plot(lines, step, unit, label, include=include)))
    if not figures:
        return []
    left = len(chosen) - len(shown)
    more = [Note(f"{left} more variants are below only.", "html")] if left else []
    return [Heading("Side by side", level=4, only="html"), Figures(tuple(figures), "wide"), *more]


@dataclass(frozen=True, slots=True)
class _Course:
    """A curve as text tells it: the mean over seeds at each step."""

    variant: str
    title: str
    unit: str
    mean: Sequence[charts.Point]
    seeds: int


def _table(board: Leaderboard) -> Block:
    """Return where each curve began and ended: what a drawing says, for a medium that has none."""
    courses = []
    for name, curves in board.curves.items():
        for chart in charts_of(curves):
            for label, series in chart.series:
                line = _line(curves, label, series, chart.factor)
                if line and (mean := line.mean()):
                    title = chart.title if len(chart.series) == 1 else f"{chart.title}: {label}"
                    courses.append(_Course(name, title, chart.unit, mean, len(line.seeds)))
    columns: list[Column[_Course]] = [
        Column("variant", lambda c: c.variant, "l", names_row=True),
        Column("figure", lambda c: c.title, "l"),
        Column("unit", lambda c: c.unit, "l"),
        Column("first", lambda c: formatting.general(c.mean[0][1])),
        Column("last", lambda c: formatting.general(c.mean[-1][1])),
        Column("lowest", lambda c: formatting.general(min(y for _, y in c.mean))),
        Column("highest", lambda c: formatting.general(max(y for _, y in c.mean))),
        Column("steps", lambda c: formatting.count(c.mean[-1][0])),
        Column("seeds", lambda c: formatting.count(c.seeds)),
    ]
    note = "Means over the training seeds; every point of every seed is in leaderboard.json."
    return tabulate(columns, courses, name="curves", note=note, only="text")
