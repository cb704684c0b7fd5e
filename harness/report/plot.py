"""Curves over steps as inline SVG: axes with units, a thin line for every seed and a strong one for their mean.

Drawn in a fixed coordinate system that scales as a whole. Colours come from classes in style.css, never from `style`
attributes, which the page's content security policy forbids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.report import svg
from harness.report.text import attribute, escape

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
    ys = svg.scale_for([y for _, y in points], include=[*plot.include, *(v for v, _ in marks)])
    xs = svg.scale_for([x for x, _ in points], max_ticks=7)
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


def upwards(scale: svg.Scale) -> Place:
    """Where a value lies on the y-axis."""
    return lambda value: TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - scale.low) / (scale.high - scale.low))


def along(scale: svg.Scale) -> Place:
    """Where a value lies on an x-axis that is as long as its scale."""
    return lambda value: LEFT + (WIDTH - LEFT - RIGHT) * (value - scale.low) / (scale.high - scale.low)


def axes(ys: svg.Scale, ticks: Mapping[float, str], x: Place, x_label: str, y_label: str) -> list[str]:
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
