"""How each training went: its curves as small drawings, and as a table of where they began and ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from assay.harness import formatting
from assay.harness.leaderboard.schema import CurveRun, Curves, Leaderboard
from assay.harness.report import charts
from assay.harness.report.sections.learned import REINFORCEMENT
from assay.harness.report.wording import escape

_PREFERENCES = ("dpo", "ipo", "kto", "orpo", "reward")
_MOST_TOGETHER = charts.COLOURS


@dataclass(frozen=True, slots=True)
class Chart:
    """One drawing: a heading, the unit on its y-axis, and what is drawn: (name in words, name in the log).

    `held_out/` before a name is of held-out records. `factor` makes the log's unit the drawing's. Charts that are not
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
        note="1: it foretells every return; 0 or less: it adds nothing to the baseline",
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
    """The drawings of a method, the reward's parts among them."""
    if curves.method in REINFORCEMENT:
        parts = tuple(
            (f"{name} × {weight:g}", f"component/{name}") for name, weight in curves.weights.items()
        )
        found = Chart("Reward by component", "weighted mean", parts, include=(0.0,))
        return (_RL[0], found, *_RL[1:]) if len(parts) > 1 else _RL
    return _PREFERENCE if curves.method in _PREFERENCES else (_LOSS, *_MACHINE)


def points(run: CurveRun, name: str) -> list[tuple[float, float]]:
    held = name.removeprefix("held_out/")
    return run.train.points(name) if held == name else run.held_out.points(held)


def section(board: Leaderboard) -> str:
    """Every training's drawings; empty where nothing was trained."""
    blocks = [_together(board, methods) for methods in _TOGETHER]
    blocks += [_variant(name, curves) for name, curves in board.curves.items()]
    if not any(blocks):
        return ""
    about = (
        "Thin lines are the training seeds, the strong line is their mean. Where a curve has more than 300 steps, each "
        "point is the mean over neighbouring ones."
    )
    return f'<h3>Curves</h3><p class="note">{escape(about)}</p>{"".join(blocks)}'


def _variant(name: str, curves: Curves) -> str:
    shown = [(chart, figure) for chart in charts_of(curves) if (figure := _figure(name, curves, chart))]
    first = "".join(figure for chart, figure in shown if chart.first)
    more = "".join(figure for chart, figure in shown if not chart.first)
    seeds = len(curves.runs)
    of = f", {seeds} training seeds" if seeds > 1 else ""
    fold = f"<details><summary>More curves of {escape(name)}</summary>" if more else ""
    return (
        f'<h4>{escape(name)} <small>{escape(curves.method)}{of}</small></h4><div class="curves">{first}</div>'
        + (f'{fold}<div class="curves">{more}</div></details>' if more else "")
        + _missing(name, curves)
    )


def _missing(name: str, curves: Curves) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in missing(name, curves))
    return f'<ul class="footnotes" aria-label="Why curves are missing">{items}</ul>' if items else ""


def missing(name: str, curves: Curves) -> list[str]:
    """What is not drawn, and why: one line a reason."""
    reasons: dict[str, list[str]] = {}
    for figure, why in curves.unmeasured.items():
        reasons.setdefault(why, []).append(_in_words(curves, figure))
    return [
        f"{name}: {formatting.enumerate_names(figures)} {formatting.UNMEASURED}: {why}."
        for why, figures in reasons.items()
    ]


def _in_words(curves: Curves, figure: str) -> str:
    for chart in charts_of(curves):
        for said, name in chart.series:
            if name == figure:
                short = chart.title[:2].isupper()  # KL
                title = chart.title if short else chart.title[0].lower() + chart.title[1:]
                return title if len(chart.series) == 1 else f"{title} ({said})"
    return figure


def _figure(variant: str, curves: Curves, chart: Chart) -> str:
    lines, factors = [], _factors(curves, chart)
    for place, (said, name) in enumerate(chart.series):
        seeds = [[(x, y * factors[name]) for x, y in points(run, name)] for run in curves.runs]
        if any(seeds):
            lines.append(charts.Line(said, [s for s in seeds if s], place))
    if not lines or (not chart.first and all(y == 0 for line in lines for _, y in line.drawn)):
        return ""
    marks = [
        (curves.marks[key], f"{said} {curves.marks[key]:g}")
        for key, said in chart.marks
        if key in curves.marks
    ]
    drawing = charts.Plot(
        lines,
        curves.step,
        chart.unit,
        _spoken(variant, chart, lines),
        marks,
        _alarms(curves) if chart.marks else (),
        chart.include,
    )
    beyond = [said for value, said in marks if (value, said) not in charts.near(drawing)]
    notes = [n for n in (chart.note, f"{' and '.join(beyond)} above the drawing" if beyond else "") if n]
    alarms = sum(len(run.alarms) for run in curves.runs) if chart.marks else 0
    if alarms:
        notes.append(f"{alarms} alarm{'' if alarms == 1 else 's'}, the filled dots")
    said = f"<small>{escape('; '.join(notes))}</small>" if notes else ""
    caption = f"<figcaption><b>{escape(chart.title)}</b>{_legend(lines)}{said}</figcaption>"
    return f"<figure>{caption}{charts.draw(drawing)}</figure>"


def _factors(curves: Curves, chart: Chart) -> dict[str, float]:
    """The reward's parts are drawn as they are paid: times their weights."""
    return {
        name: curves.weights.get(name.removeprefix("component/"), 1.0)
        if "/" in name and "component" in name
        else chart.factor
        for _, name in chart.series
    }


def _alarms(curves: Curves) -> list[tuple[float, float, str]]:
    found = []
    for run in curves.runs:
        kl = dict(run.train.points("kl"))
        steps = sorted(kl)
        for step, said in run.alarms.items():
            at = next(
                (s for s in steps if s >= step), None
            )  # of a thinned curve, the point that holds the step
            if at is not None:
                found.append((at, kl[at], f"{said} (step {step})"))
    return found


def _legend(lines: Sequence[charts.Line]) -> str:
    if len(lines) == 1:
        return f' <span class="last">last {_last(lines[0])}</span>'
    return "".join(
        f' <span class="key"><i class="k{line.colour % charts.COLOURS}"></i>{escape(line.label)} {_last(line)}</span>'
        for line in lines
    )


def _last(line: charts.Line) -> str:
    mean = line.mean()
    return f"{mean[-1][1]:.3g}" if mean else formatting.DASH


def _spoken(variant: str, chart: Chart, lines: Sequence[charts.Line]) -> str:
    parts = []
    for line in lines:
        mean = line.mean()
        if mean:
            parts.append(
                f"{line.label} from {mean[0][1]:.3g} at {mean[0][0]:g} to {mean[-1][1]:.3g} at {mean[-1][0]:g}"
            )
    return f"{variant}: {chart.title}, {chart.unit}: {'; '.join(parts)}"


def _together(board: Leaderboard, methods: tuple[str, ...]) -> str:
    """The same figure of several variants in one drawing, where there are several."""
    chosen = {n: c for n, c in board.curves.items() if c.method in methods}
    shown = dict(list(chosen.items())[:_MOST_TOGETHER])
    if len(shown) < 2:
        return ""
    figures = []
    for title, unit, name, factor, include in _TOGETHER[methods]:
        lines = []
        for place, (variant, curves) in enumerate(shown.items()):
            seeds = [
                [(x, y * factor) for x, y in found] for run in curves.runs if (found := points(run, name))
            ]
            if seeds:
                lines.append(charts.Line(variant, seeds, place))
        if len(lines) < 2:
            continue
        chart = Chart(title, unit, ())
        step = next(iter(shown.values())).step
        drawing = charts.Plot(lines, step, unit, _spoken("together", chart, lines), include=include)
        figures.append(
            f"<figure><figcaption><b>{escape(title)}</b>{_legend(lines)}</figcaption>{charts.draw(drawing)}</figure>"
        )
    left = len(chosen) - len(shown)
    more = f'<p class="note">{left} more variants are below only.</p>' if left else ""
    return f'<h4>Side by side</h4><div class="curves wide">{"".join(figures)}</div>{more}' if figures else ""


HEAD = ["variant", "figure", "unit", "first", "last", "lowest", "highest", "steps", "seeds"]
ALIGN = "lllrrrrrr"


def rows(board: Leaderboard) -> Iterator[list[str]]:
    """Where each curve began and ended, means over seeds: what a drawing says, for a medium that has none."""
    for name, curves in board.curves.items():
        for chart in charts_of(curves):
            factors = _factors(curves, chart)
            for said, series in chart.series:
                seeds = [
                    [(x, y * factors[series]) for x, y in found]
                    for run in curves.runs
                    if (found := points(run, series))
                ]
                mean = charts.Line(said, seeds).mean() if seeds else []
                if not mean:
                    continue
                title = chart.title if len(chart.series) == 1 else f"{chart.title}: {said}"
                ys = [y for _, y in mean]
                figures = (ys[0], ys[-1], min(ys), max(ys))
                yield [
                    name,
                    title,
                    chart.unit,
                    *(f"{y:.4g}".replace("-", formatting.MINUS) for y in figures),
                    formatting.count(int(mean[-1][0])),
                    formatting.count(len(seeds)),
                ]
