"""Draw small plots as inline SVG.

Plots in a table's cell have positions in percent, so that a plot stretches with its cell while dots stay round and
lines keep their width; no viewBox is used for the same reason. Curves and histograms are drawn in a fixed coordinate
system that scales as a whole. Colours come from classes in style.css, never from `style` attributes, which the page's
content security policy forbids. Every text and attribute is escaped where an element is made (`_element`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from assay.harness import formatting
from assay.harness.leaderboard.schema import Bar, Bin
from assay.harness.report.wording import escape, one_line

WIDTH, HEIGHT = 340, 176  # of curves and histograms, with the margins around their axes
LEFT, RIGHT, TOP, BOTTOM = 58, 10, 8, 38
COLOURS = 6
_RADIUS = 11.0  # of a dot that stands for all pairs
FIRST_LINE = "20"  # px from a row's top to the middle of its first line of text, where dots sit
Point = tuple[float, float]
Place = Callable[[float], float]


def _element(tag: str, css: str = "", *children: object, **attributes: object) -> Markup:
    """Return an element with its children, texts among them escaped; a float has one decimal, `_` is written `-`."""
    pairs = ({"class": css} if css else {}) | attributes
    listed = "".join(
        f' {name.replace("_", "-")}="{value:.1f}"'
        if isinstance(value, float)
        else f' {name.replace("_", "-")}="{escape(one_line(value))}"'
        for name, value in pairs.items()
    )
    content = "".join(escape(child) for child in children)
    return Markup(f"<{tag}{listed}>{content}</{tag}>" if children else f"<{tag}{listed}/>")


def _labelled(tag: str, css: str, label: str, *children: object, **attributes: object) -> Markup:
    """Return an SVG that is called `label` aloud and when pointed at."""
    title = _element("title", "", label)
    return _element(tag, css, title, *children, **attributes, role="img", aria_label=label)


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear axis from `low` to `high`, in the unit of the data, with round `ticks` inside it."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        """Return where a value lies, from 0 at `low` to 1 at `high`."""
        return (value - self.low) / (self.high - self.low)

    def at(self, value: float) -> str:
        """Return where a value lies, as an SVG percentage; values outside are drawn at the edge."""
        return f"{min(1.0, max(0.0, self.share(value))) * 100:.2f}%"


def scale_for(values: Iterable[float | None], *, include: Sequence[float] = (), max_ticks: int = 5) -> Scale:
    """Return an axis that covers the values that are known, with a little air and at most `max_ticks` round ticks."""
    known = [v for v in (*values, *include) if v is not None and math.isfinite(v)] or [0.0, 1.0]
    low, high = min(known), max(known)
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


# Plots in the cells of a table.


def axis(scale: Scale, *, signed: bool) -> Markup:
    """Draw the tick labels of a shared axis, in percent or points, one line high."""
    texts = [
        _element("text", "", formatting.tick(t, signed=signed), x=scale.at(t), y="11", text_anchor="middle")
        for t in scale.ticks
    ]
    return _element("svg", "axis", *texts, height="14", aria_hidden="true")


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
) -> Markup:
    """Draw a dot with its whisker at height `y`, over hairlines at the ticks that fill the cell from top to bottom.

    `mark` is a value drawn as a dashed line; `reference` draws the dot hollow.
    """

    def line(css: str, start: float, end: float, top: str, bottom: str) -> Markup:
        return _element("line", css, x1=scale.at(start), x2=scale.at(end), y1=top, y2=bottom)

    lines = [line("grid", t, t, "0", "100%") for t in scale.ticks]
    if mark is not None:
        lines.append(line("mark", mark, mark, "0", "100%"))
    ink = []
    if low is not None and high is not None:
        ink.append(line("whisker", low, high, "0", "0"))
        ink += [line("whisker", x, x, "-3", "3") for x in (low, high)]
    ink.append(_element("circle", "dot", cx=scale.at(value), cy="0", r="4"))
    dot = _element("svg", "", *ink, y=y, overflow="visible")
    return _labelled("svg", "plot reference" if reference else "plot", label, *lines, dot)


def stacked_bar(parts: Sequence[tuple[str, int]], *, label: str) -> Markup:
    """Draw shares of a whole, in the order given; a part's class is its name. Nothing where the whole is empty."""
    total = sum(n for _, n in parts)
    bars, so_far = [], 0
    for name, n in parts:
        if n:
            x, width = f"{so_far / total * 100:.3f}%", f"{n / total * 100:.3f}%"
            bars.append(_element("rect", f"o-{name}", x=x, y="0", width=width, height="8"))
        so_far += n
    return _labelled("svg", "bar", label, *bars, height="8") if bars else Markup()


# Curves, histograms and dots between two axes.


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: its points for each seed. `colour` is its place among the colours."""

    label: str
    seeds: Sequence[Sequence[Point]]
    colour: int = 0

    def mean(self) -> list[Point]:
        """Return the mean at each step that every seed has."""
        by_step: dict[float, list[float]] = {}
        for points in self.seeds:
            for x, y in points:
                by_step.setdefault(x, []).append(y)
        return [(x, sum(ys) / len(ys)) for x, ys in sorted(by_step.items()) if len(ys) == len(self.seeds)]

    @property
    def drawn(self) -> list[Point]:
        """The points of all seeds."""
        return [point for points in self.seeds for point in points]


@dataclass(frozen=True, slots=True)
class Plot:
    """Curves over steps. `marks` are labelled values on the y-axis, drawn where they lie near the data; `dots` are
    points that something happened at, with a description."""

    lines: Sequence[Line]
    x_label: str
    y_label: str
    label: str
    marks: Sequence[tuple[float, str]] = ()
    dots: Sequence[tuple[float, float, str]] = ()
    include: Sequence[float] = ()


def near(plot: Plot) -> list[tuple[float, str]]:
    """Return the marks that are drawn: one far above the data would press it into a line at the bottom."""
    values = [y for line in plot.lines for _, y in line.drawn]
    low, high = min(values), max(values)
    reach = max(high - low, abs(high), 1e-9)
    return [(value, name) for value, name in plot.marks if low - reach <= value <= high + 3 * reach]


def draw(plot: Plot) -> Markup:
    """Draw curves, of which at least one has a point: a thin line for every seed and a strong one for their mean."""
    marks = near(plot)
    points = [point for line in plot.lines for point in line.drawn]
    ys = scale_for([y for _, y in points], include=[*plot.include, *(v for v, _ in marks)])
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    ticks = [
        t for t in scale_for([x for x, _ in points], max_ticks=7).ticks if low <= t <= high and t == int(t)
    ]
    x = _along(Scale(low, high, ()) if high > low else Scale(low - 1, low + 1, ()))
    y = _upwards(ys)
    parts = _axes(ys, {t: f"{t:g}" for t in ticks or [low]}, x, plot.x_label, plot.y_label)
    for value, name in marks:
        parts += _mark(y(value), name)
    for line in plot.lines:
        css, mean = f"s{line.colour % COLOURS}", line.mean()
        if len(line.seeds) > 1:
            parts += [_polyline(f"seed {css}", seed, x, y) for seed in line.seeds if seed]
        if len(mean) == 1:
            parts.append(_element("circle", f"point {css}", cx=x(mean[0][0]), cy=y(mean[0][1]), r="2.5"))
        elif mean:
            parts.append(_polyline(f"mean {css}", mean, x, y))
    parts += [
        _pointed_at("alarm", text, _element("circle", "", cx=x(a), cy=y(b), r="3"))
        for a, b, text in plot.dots
    ]
    return _framed(parts, plot.label)


def histogram(bars: Sequence[Bar], label: str) -> Markup:
    """Draw pairs by margin, at least one bar; what lies left of the dashed line at 0 was preferred the wrong way."""
    ys = scale_for([float(bar.pairs) for bar in bars], include=(0.0,))
    ys = Scale(0.0, ys.high, tuple(t for t in ys.ticks if t >= 0 and t == int(t)))
    xs = scale_for([v for bar in bars for v in (bar.low, bar.high)], include=(0.0,), max_ticks=6)
    x, y = _along(xs), _upwards(ys)
    parts = _axes(ys, _tick_labels(xs.ticks), x, "margin, preferred minus other", "pairs")
    for bar in bars:
        low, high = (formatting.general(v, 3) for v in (bar.low, bar.high))
        width = max(0.5, x(bar.high) - x(bar.low) - 1)
        rect = _element(
            "rect", "", x=x(bar.low) + 0.5, y=y(bar.pairs), width=width, height=y(0) - y(bar.pairs)
        )
        parts.append(_pointed_at("column", f"{bar.pairs} pairs with a margin of {low} to {high}", rect))
    parts.append(_element("line", "mark", x1=x(0), x2=x(0), y1=TOP, y2=y(0)))
    return _framed(parts, label)


def reliability(bins: Sequence[Bin], label: str) -> Markup:
    """Draw how often the model is right against how sure it is, a dot a bin, its area the bin's pairs.

    A model whose confidence can be believed lies on the dashed line.
    """
    xs = Scale(0.5, 1.0, (0.5, 0.6, 0.7, 0.8, 0.9, 1.0))
    ys = Scale(-0.03, 1.05, (0.0, 0.25, 0.5, 0.75, 1.0))
    x, y = _along(xs), _upwards(ys)
    percent = Scale(ys.low * 100, ys.high * 100, tuple(t * 100 for t in ys.ticks))
    parts = _axes(percent, {t: f"{t * 100:g}" for t in xs.ticks}, x, "how sure the model is, %", "% right")
    parts.append(_element("line", "mark", x1=x(0.5), y1=y(0.5), x2=x(1), y2=y(1)))
    total = sum(b.pairs for b in bins)
    for b in bins:
        if b.confidence is None or b.accuracy is None:
            continue
        radius = max(2.0, _RADIUS * math.sqrt(b.pairs / total))
        dot = _element("circle", "", cx=x(b.confidence), cy=y(b.accuracy), r=radius)
        parts.append(
            _pointed_at("bin", f"{b.pairs} pairs: {b.confidence:.0%} sure, {b.accuracy:.0%} right", dot)
        )
    return _framed(parts, label)


def _framed(parts: Sequence[Markup], label: str) -> Markup:
    return _labelled("svg", "line", label, *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}")


def _pointed_at(css: str, text: str, shape: Markup) -> Markup:
    """Return a shape that says `text` when it is pointed at."""
    return _element("g", css, _element("title", "", text), shape)


def _polyline(css: str, points: Sequence[Point], x: Place, y: Place) -> Markup:
    return _element("polyline", css, points=" ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points))


def _upwards(scale: Scale) -> Place:
    return lambda value: TOP + (HEIGHT - TOP - BOTTOM) * (1 - scale.share(value))


def _along(scale: Scale) -> Place:
    return lambda value: LEFT + (WIDTH - LEFT - RIGHT) * scale.share(value)


def _axes(ys: Scale, ticks: Mapping[float, str], x: Place, x_label: str, y_label: str) -> list[Markup]:
    """Draw both axes with their labels; `ticks` are the places and texts of the x-axis."""
    bottom, right, y = HEIGHT - BOTTOM, WIDTH - RIGHT, _upwards(ys)
    parts = []
    for t, text in _tick_labels(ys.ticks).items():
        parts.append(_element("line", "grid", x1=LEFT, x2=right, y1=y(t), y2=y(t)))
        parts.append(_element("text", "", text, x=LEFT - 6, y=y(t) + 3.5, text_anchor="end"))
    parts.append(_element("line", "frame", x1=LEFT, x2=right, y1=bottom, y2=bottom))
    for t, text in ticks.items():
        parts.append(_element("line", "frame", x1=x(t), x2=x(t), y1=bottom, y2=bottom + 3))
        parts.append(_element("text", "", text, x=x(t), y=bottom + 14, text_anchor="middle"))
    parts.append(_element("text", "", x_label, x=(LEFT + right) / 2, y=HEIGHT - 8, text_anchor="middle"))
    turned = f"translate(10 {(TOP + bottom) / 2:.1f}) rotate(-90)"
    parts.append(_element("text", "", y_label, transform=turned, text_anchor="middle"))
    return parts


def _tick_labels(ticks: Sequence[float]) -> dict[float, str]:
    """Return labels as short as they can be and still differ: 0.002 as 2e-3 where the axis is that small."""
    return {t: f"{t:.4g}".replace("e-0", "e-").replace("-", formatting.MINUS) for t in ticks}


def _mark(at: float, name: str) -> list[Markup]:
    right = WIDTH - RIGHT
    return [
        _element("line", "mark", x1=LEFT, x2=right, y1=at, y2=at),
        _element("text", "", name, x=right, y=at - 3, text_anchor="end"),
    ]
