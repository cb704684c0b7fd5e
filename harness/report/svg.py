"""Small plots as inline SVG.

Horizontal positions are percentages, so that a plot stretches with its table cell while dots stay round and
lines keep their width; no viewBox is used for the same reason. Colours come from classes in style.css, never from
`style` attributes, which the page's content security policy forbids.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.report.text import attribute, escape


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
