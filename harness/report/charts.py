"""Small plots as inline SVG.

Horizontal positions are percentages, so that a plot stretches with its table cell while dots stay round and
lines keep their width; no viewBox is used for the same reason. Colours come from classes in style.css, never from
`style` attributes, which the page's content security policy forbids.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from assay.harness import formatting
from assay.harness.leaderboard.schema import Bar, Bin
from assay.harness.report.wording import attribute, escape


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear axis from `low` to `high`, in the unit of the data, with round `ticks` inside it."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> str:
        """Where a value lies, as an SVG percentage; values outside are drawn at the edge."""
        share = (value - self.low) / (self.high - self.low)
        return f"{min(1.0, max(0.0, share)) * 100:.2f}%"

    def width(self, low: float, high: float) -> str:
        return f"{max(0.0, (high - low) / (self.high - self.low)) * 100:.2f}%"


def scale_for(values: Iterable[float], *, include: Sequence[float] = (), max_ticks: int = 5) -> Scale:
    """An axis that covers the values, with a little air and at most `max_ticks` round ticks."""
    finite = [v for v in (*values, *include) if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if high - low < 1e-9:
        low, high = low - 0.05, high + 0.05
    air = (high - low) * 0.06
    low, high = low - air, high + air
    step = _round_step((high - low) / max(1, max_ticks - 1))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return Scale(low, high, tuple(round(i * step, 10) for i in range(first, last + 1)))


def _round_step(raw: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(raw))
    return next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw - 1e-12)


def axis(scale: Scale, labels: Mapping[float, str]) -> str:
    """Tick labels of a shared axis, one line high."""
    texts = "".join(
        f'<text x="{scale.at(tick)}" y="11" text-anchor="middle">{escape(labels[tick])}</text>'
        for tick in scale.ticks
    )
    return f'<svg class="axis" height="14" aria-hidden="true">{texts}</svg>'


def interval(
    scale: Scale,
    value: float,
    low: float | None,
    high: float | None,
    *,
    label: str,
    mark: float | None = None,
    reference: bool = False,
    y: str = "50%",
) -> str:
    """A dot with its whisker at height `y`, over hairlines at the ticks that fill the cell from top to bottom.

    `mark` is a value drawn as a dashed line; `reference` draws the dot hollow.
    """
    lines = "".join(_upright(scale, t, "grid") for t in scale.ticks)
    if mark is not None:
        lines += _upright(scale, mark, "mark")
    ink = f'<circle class="dot" cx="{scale.at(value)}" cy="0" r="4"/>'
    if low is not None and high is not None:
        ends = "".join(
            f'<line class="whisker" x1="{scale.at(x)}" x2="{scale.at(x)}" y1="-3" y2="3"/>'
            for x in (low, high)
        )
        ink = f'<line class="whisker" x1="{scale.at(low)}" x2="{scale.at(high)}" y1="0" y2="0"/>{ends}{ink}'
    css = "plot reference" if reference else "plot"
    return (
        f'<svg class="{css}" role="img" aria-label="{attribute(label)}">'
        f'<title>{escape(label)}</title>{lines}<svg y="{attribute(y)}" overflow="visible">{ink}</svg></svg>'
    )


def _upright(scale: Scale, value: float, css: str) -> str:
    return f'<line class="{css}" x1="{scale.at(value)}" x2="{scale.at(value)}" y1="0" y2="100%"/>'


def stacked_bar(parts: Sequence[tuple[str, int]], *, label: str) -> str:
    """Shares of a whole, in the order given; a part's class is its name."""
    total = sum(n for _, n in parts)
    if total == 0:
        return ""
    bars, so_far = [], 0
    for name, n in parts:
        if n:
            bars.append(
                f'<rect class="o-{attribute(name)}" x="{so_far / total * 100:.3f}%" y="0" '
                f'width="{n / total * 100:.3f}%" height="8"/>'
            )
        so_far += n
    return (
        f'<svg class="bar" height="8" role="img" aria-label="{attribute(label)}">'
        f"<title>{escape(label)}</title>{''.join(bars)}</svg>"
    )


# A reward model's drawings as inline SVG: how its margins are spread, and whether its confidence can be believed.

SURE = Scale(0.5, 1.0, (0.5, 0.6, 0.7, 0.8, 0.9, 1.0))
_RADIUS = 11.0  # of a dot that stands for all pairs


def histogram(bars: Sequence[Bar], label: str) -> str:
    """Pairs by margin, at least one bar; what lies left of the dashed line at 0 was preferred the wrong way round."""
    ys = scale_for([float(bar.pairs) for bar in bars], include=(0.0,))
    ys = Scale(0.0, ys.high, tuple(t for t in ys.ticks if t >= 0 and t == int(t)))
    xs = scale_for([v for bar in bars for v in (bar.low, bar.high)], include=(0.0,), max_ticks=6)
    x, y = along(xs), upwards(ys)
    parts = axes(ys, tick_labels(xs.ticks), x, "margin, preferred minus other", "pairs")
    for bar in bars:
        said = f"{bar.pairs} pairs with a margin of {bar.low:.3g} to {bar.high:.3g}".replace(
            "-", formatting.MINUS
        )
        wide, high = max(0.5, x(bar.high) - x(bar.low) - 1), y(0) - y(bar.pairs)
        where = f'x="{x(bar.low) + 0.5:.1f}" y="{y(bar.pairs):.1f}" width="{wide:.1f}" height="{high:.1f}"'
        parts.append(f'<g class="column"><title>{escape(said)}</title><rect {where}/></g>')
    parts.append(f'<line class="mark" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{TOP}" y2="{y(0):.1f}"/>')
    return framed(parts, label)


def reliability(bins: Sequence[Bin], label: str) -> str:
    """How often the model is right against how sure it is, a dot a bin, its area the bin's pairs; a model that can be
    believed lies on the dashed line."""
    ys = Scale(-0.03, 1.05, (0.0, 0.25, 0.5, 0.75, 1.0))
    x, y = along(SURE), upwards(ys)
    percent = Scale(ys.low * 100, ys.high * 100, tuple(t * 100 for t in ys.ticks))
    ticks = {t: f"{t * 100:g}" for t in SURE.ticks}
    parts = axes(percent, ticks, x, "how sure the model is, %", "% right")
    parts.append(f'<line class="mark" x1="{x(0.5):.1f}" y1="{y(0.5):.1f}" x2="{x(1):.1f}" y2="{y(1):.1f}"/>')
    total = sum(b.pairs for b in bins)
    for b in bins:
        if b.confidence is None or b.accuracy is None:
            continue
        said = f"{b.pairs} pairs: {b.confidence:.0%} sure, {b.accuracy:.0%} right"
        radius = max(2.0, _RADIUS * math.sqrt(b.pairs / total))
        where = f'cx="{x(b.confidence):.1f}" cy="{y(b.accuracy):.1f}" r="{radius:.1f}"'
        parts.append(f'<g class="bin"><title>{escape(said)}</title><circle {where}/></g>')
    return framed(parts, label)


# Curves over steps as inline SVG: axes with units, a thin line for every seed and a strong one for their mean.
#
# Drawn in a fixed coordinate system that scales as a whole. Colours come from classes in style.css, never from `style`
# attributes, which the page's content security policy forbids.

WIDTH, HEIGHT = 340, 176
LEFT, RIGHT, TOP, BOTTOM = 58, 10, 8, 38
COLOURS = 6
Point = tuple[float, float]
Place = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: its points for each seed. `colour` is its place among the colours."""

    label: str
    seeds: Sequence[Sequence[Point]]
    colour: int = 0

    def mean(self) -> list[Point]:
        """At each step that every seed has."""
        by_step: dict[float, list[float]] = {}
        for points in self.seeds:
            for x, y in points:
                by_step.setdefault(x, []).append(y)
        return [(x, sum(ys) / len(ys)) for x, ys in sorted(by_step.items()) if len(ys) == len(self.seeds)]

    @property
    def drawn(self) -> list[Point]:
        return [point for points in self.seeds for point in points]


@dataclass(frozen=True, slots=True)
class Plot:
    """What is drawn. `marks` are labelled values on the y-axis, drawn where they lie near the data; `dots` are points
    that something happened at, with what it was."""

    lines: Sequence[Line]
    x_label: str
    y_label: str
    label: str
    marks: Sequence[tuple[float, str]] = ()
    dots: Sequence[tuple[float, float, str]] = ()
    include: Sequence[float] = field(default=())


def near(plot: Plot) -> list[tuple[float, str]]:
    """The marks that the drawing shows: one far above the data would press it into a line at the bottom."""
    values = [y for line in plot.lines for _, y in line.drawn]
    low, high = min(values), max(values)
    reach = max(high - low, abs(high), 1e-9)
    return [(value, name) for value, name in plot.marks if low - reach <= value <= high + 3 * reach]


def draw(plot: Plot) -> str:
    """At least one line must have a point."""
    marks = near(plot)
    points = [point for line in plot.lines for point in line.drawn]
    ys = scale_for([y for _, y in points], include=[*plot.include, *(v for v, _ in marks)])
    xs = scale_for([x for x, _ in points], max_ticks=7)
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)

    def x(value: float) -> float:
        share = 0.5 if x_high == x_low else (value - x_low) / (x_high - x_low)
        return LEFT + (WIDTH - LEFT - RIGHT) * share

    y = upwards(ys)

    def path(points: Sequence[Point]) -> str:
        return " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)

    ticks = [t for t in xs.ticks if x_low <= t <= x_high and t == int(t)] or [x_low]
    whole = {t: f"{t:g}" for t in ticks}
    parts = [*axes(ys, whole, x, plot.x_label, plot.y_label), *(_mark(y(v), name) for v, name in marks)]
    for line in plot.lines:
        css = f"s{line.colour % COLOURS}"
        if len(line.seeds) > 1:
            parts += [f'<polyline class="seed {css}" points="{path(seed)}"/>' for seed in line.seeds if seed]
        mean = line.mean()
        if len(mean) == 1:
            parts.append(
                f'<circle class="point {css}" cx="{x(mean[0][0]):.1f}" cy="{y(mean[0][1]):.1f}" r="2.5"/>'
            )
        elif mean:
            parts.append(f'<polyline class="mean {css}" points="{path(mean)}"/>')
    parts += [
        f'<g class="alarm"><title>{escape(said)}</title><circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3"/></g>'
        for a, b, said in plot.dots
    ]
    return framed(parts, plot.label)


def framed(parts: Sequence[str], label: str) -> str:
    """The drawing made of `parts`, called `label` aloud."""
    return (
        f'<svg class="line" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{attribute(label)}">'
        f"<title>{escape(label)}</title>{''.join(parts)}</svg>"
    )


def upwards(scale: Scale) -> Place:
    """Where a value lies on the y-axis."""
    return lambda value: TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - scale.low) / (scale.high - scale.low))


def along(scale: Scale) -> Place:
    """Where a value lies on an x-axis that is as long as its scale."""
    return lambda value: LEFT + (WIDTH - LEFT - RIGHT) * (value - scale.low) / (scale.high - scale.low)


def axes(ys: Scale, ticks: Mapping[float, str], x: Place, x_label: str, y_label: str) -> list[str]:
    """Both axes with what they measure; `ticks` are those of the x-axis, with what they say."""
    bottom, right, y = HEIGHT - BOTTOM, WIDTH - RIGHT, upwards(ys)
    digits = tick_labels(ys.ticks)
    parts = [
        f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y(t):.1f}" y2="{y(t):.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y(t) + 3.5:.1f}" text-anchor="end">{escape(digits[t])}</text>'
        for t in ys.ticks
    ]
    parts.append(f'<line class="frame" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    parts += [
        f'<line class="frame" x1="{x(t):.1f}" x2="{x(t):.1f}" y1="{bottom}" y2="{bottom + 3}"/>'
        f'<text x="{x(t):.1f}" y="{bottom + 14}" text-anchor="middle">{escape(said)}</text>'
        for t, said in ticks.items()
    ]
    middle = (LEFT + right) / 2, (TOP + bottom) / 2
    parts.append(f'<text x="{middle[0]:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(
        f'<text transform="translate(10 {middle[1]:.1f}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )
    return parts


def tick_labels(ticks: Sequence[float]) -> dict[float, str]:
    """As short as they can be and still differ: 0.002 as 2e-3 where the axis is that small."""
    minus = "\N{MINUS SIGN}"
    return {t: f"{t:.4g}".replace("e-0", "e-").replace("-", minus) for t in ticks}


def _mark(at: float, name: str) -> str:
    right = WIDTH - RIGHT
    return (
        f'<line class="mark" x1="{LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>'
        f'<text x="{right}" y="{at - 3:.1f}" text-anchor="end">{escape(name)}</text>'
    )
