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
    """The plan of one drawing: a heading, the unit on its y-axis, and its curve's name in the log, or several as
    (name in words, name in the log).

    `held_out/` before a name means held-out records. `factor` makes the log's unit the drawing's, `zero` puts 0 on the
    axis. Charts that are `folded` are shown on demand.
    """

    title: str
    unit: str
    series: str | tuple[tuple[str, str], ...]
    zero: bool = False
    factor: float = 1.0
    marks: tuple[tuple[str, str], ...] = ()
    note: str = ""
    folded: bool = False

    @property
    def in_sentence(self) -> str:
        """The heading inside a sentence; KL stays in capitals."""
        return self.title if self.title[:2].isupper() else self.title[0].lower() + self.title[1:]

    @property
    def curves(self) -> tuple[tuple[str, str], ...]:
        """The curves as (name in words, name in the log)."""
        return ((self.in_sentence, self.series),) if isinstance(self.series, str) else self.series


def _both(name: str) -> tuple[tuple[str, str], ...]:
    return (("learned from", name), ("held out", f"held_out/{name}"))


_KL_MARKS = (("kl_target", "target"), ("kl_alarm", "alarm"))
_CHECKS = (("checks that pay", "pass_rate"), ("checks held out", "held_pass_rate"))
_TIMES = (("generate", "generate_s"), ("wait for execution", "execute_wait_s"), ("train", "train_s"))
_UNSCORED = (("infra", "infra"), ("tampering", "tampering"))
_CRITIC_NOTE = "1: it predicts every return; 0 or less: it adds nothing to the baseline"
_GRADIENT = Chart("Gradient norm", "norm", "grad_norm", zero=True, note="before clipping", folded=True)
_RATE = Chart("Learning rate", "rate", "learning_rate", zero=True, folded=True)
_RL = (
    Chart("Reward", "mean of an answer", "reward"),
    Chart("Checks passed", "% of answers", _CHECKS, factor=100),
    Chart("Hacking gap", "points", "gap", True, 100, note="checks that pay minus checks held out"),
    Chart("KL from the reference", "nats an answer", "kl", True, marks=_KL_MARKS),
    Chart("Entropy", "nats a token", "entropy", zero=True),
    Chart("Clip fraction", "% of tokens", "clip_fraction", True, 100),
    Chart(
        "Variance the critic explains", "share of the returns'", "explained_variance", True, note=_CRITIC_NOTE
    ),
    Chart("Length", "tokens an answer", "length"),
    Chart("Time of an update", "s", _TIMES, zero=True),
    Chart("Cut at the length limit", "% of answers", "unfinished", True, 100, folded=True),
    Chart("Policy loss", "loss", "policy_loss", folded=True),
    Chart("Value loss", "loss", "value_loss", folded=True),
    Chart("Price of KL", "reward a nat", "kl_coefficient", zero=True, folded=True),
    _GRADIENT,
    _RATE,
    Chart("Not measured, and tampering", "answers an update", _UNSCORED, zero=True, folded=True),
)
_MACHINE = (
    _RATE,
    _GRADIENT,
    Chart("Speed", "tokens a second", "tok_per_s", zero=True, folded=True),
    Chart("Resident memory", "GiB", "rss_gib", folded=True),
)
_PREFERRED = (("preferred", "logp_chosen"), ("other", "logp_rejected"))
_MARGIN_NOTE = "of implicit rewards; ORPO: log odds ratio"
_PREFERENCE = (
    Chart("Loss", "loss", _both("loss")),
    Chart("Margin", "preferred minus other", _both("margin"), zero=True, note=_MARGIN_NOTE),
    Chart("Accuracy", "% of pairs", _both("accuracy"), factor=100),
    Chart("Log-probability", "nats an answer", _PREFERRED, note="IPO and ORPO: nats a token"),
    Chart("KL estimate", "nats", "kl", folded=True),
    *_MACHINE,
)
_SUPERVISED = (Chart("Loss", "nats a token", _both("loss")), *_MACHINE)
_TOGETHER = {
    REINFORCEMENT: (
        Chart("Passed on held-out checks", "% of answers", "held_pass_rate", factor=100),
        Chart("Hacking gap", "points", "gap", True, 100),
        Chart("KL from the reference", "nats an answer", "kl", True),
        Chart("Length", "tokens an answer", "length"),
    ),
    _PREFERENCES: (
        Chart("Accuracy on held-out pairs", "% of pairs", "held_out/accuracy", factor=100),
        Chart("Accuracy on pairs learned from", "% of pairs", "accuracy", factor=100),
    ),
}


def charts_of(curves: Curves) -> tuple[Chart, ...]:
    """Return the drawings of a method, the reward's parts among them."""
    if curves.method in REINFORCEMENT:
        parts = tuple(
            (f"{name} × {weight:g}", f"component/{name}") for name, weight in curves.weights.items()
        )
        components = Chart("Reward by component", "weighted mean", parts, zero=True)
        return (_RL[0], components, *_RL[1:]) if len(parts) > 1 else _RL
    return _PREFERENCE if curves.method in _PREFERENCES else _SUPERVISED


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
    first = tuple(figure for chart, figure in drawn if not chart.folded)
    more = tuple(figure for chart, figure in drawn if chart.folded)
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
        for label, name in chart.curves:
            if name == figure:
                return chart.in_sentence if len(chart.curves) == 1 else f"{chart.in_sentence} ({label})"
    return figure


def _lines(named: Sequence[tuple[Curves, str, str]], factor: float) -> list[charts.Line]:
    """Return the curves of (curves, label, name in the log) that are there, each over all seeds that have it.

    The reward's parts are as they are paid: times their weights. A curve's place is its colour.
    """
    lines = []
    for colour, (curves, label, name) in enumerate(named):
        part = name.removeprefix("component/")
        by = factor if part == name else curves.weights.get(part, 1.0)
        seeds = [[(x, y * by) for x, y in points] for run in curves.runs if (points := _points(run, name))]
        if seeds:
            lines.append(charts.Line(label, seeds, colour))
    return lines


def _points(run: CurveRun, name: str) -> list[tuple[float, float]]:
    short = name.removeprefix("held_out/")
    return (run.train if short == name else run.held_out).points(short)


def _figure(variant: str, curves: Curves, chart: Chart) -> Figure | None:
    lines = _lines([(curves, label, name) for label, name in chart.curves], chart.factor)
    if not lines or (chart.folded and all(y == 0 for line in lines for _, y in line.drawn)):
        return None
    marks = [
        (curves.marks[key], f"{label} {curves.marks[key]:g}")
        for key, label in chart.marks
        if key in curves.marks
    ]
    alarms = _alarms(curves) if chart.marks else []
    label = _spoken(variant, chart.title, chart.unit, lines)
    plot = charts.Plot(lines, curves.step, chart.unit, label, marks, alarms, _included(chart))
    drawn = charts.near(plot)
    beyond = [text for value, text in marks if (value, text) not in drawn]
    count = sum(len(run.alarms) for run in curves.runs) if chart.marks else 0
    notes = (
        chart.note,
        f"{' and '.join(beyond)} above the drawing" if beyond else "",
        f"{count} alarm{'' if count == 1 else 's'}, the filled dots" if count else "",
    )
    return _captioned(chart.title, plot, "; ".join(note for note in notes if note))


def _included(chart: Chart) -> tuple[float, ...]:
    return (0.0,) if chart.zero else ()


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
    for chart in _TOGETHER[methods]:
        ((_, name),) = chart.curves
        lines = _lines([(curves, variant, name) for variant, curves in shown.items()], chart.factor)
        if len(lines) > 1:
            step = next(iter(shown.values())).step
            label = _spoken("together", chart.title, chart.unit, lines)
            plot = charts.Plot(lines, step, chart.unit, label, include=_included(chart))
            figures.append(_captioned(chart.title, plot))
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
            for label, series in chart.curves:
                for line in _lines([(curves, label, series)], chart.factor):
                    if mean := line.mean():
                        title = chart.title if len(chart.curves) == 1 else f"{chart.title}: {label}"
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
